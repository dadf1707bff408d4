problem contact
space    x, y
domain   A = rectangle([0, 0], [1, 1]), B = rectangle([1, 0], [2, 1])
boundary meet = interface(A, B)
param    h ~ uniform(1, 2)
unknown  a : scalar on A, b : scalar on B
in A: div(2*grad(a)) = 1
in B: div(5*grad(b)) = 0
on rest(A): a = 0
on rest(B): b = 0
on meet: 2*dn(a) = h*(b - a)
