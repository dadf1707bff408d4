problem tide
space    x
domain   L = interval(0, 10) [km]
unknown  h : scalar on L
in L: dxx(h) = 1
on boundary(L): h = 0
