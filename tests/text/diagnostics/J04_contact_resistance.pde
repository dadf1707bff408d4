problem contact_resistance
space    x
domain   rod = interval(0, 2)
unknown  T : scalar on rod
in rod:                 dxx(T) = 0
on side(rod, x = 0):    T = 0
on side(rod, x = 2):    T = 1
on interface(rod, x - 1): jump(T) = avg(dx(T)); jump(dx(T)) = 0
