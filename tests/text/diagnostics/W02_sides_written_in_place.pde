problem rod
space    x, y
domain   L = rectangle([0, 0], [1, 1])
unknown  u : scalar on L, w : scalar on L
in L: lap(u) = 1; lap(w) = u
on side(L, x = 0): u = 0; w = 0
on side(L, x = 1): u = 1
on side(L, y = 0): u = 0
