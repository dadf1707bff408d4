problem contact
space    x
domain   A = interval(0, 1), B = interval(1, 2)
boundary meet = side(A, x = 1)
unknown  a : scalar on A, b : scalar on B
in A: dxx(a) = 1
in B: dxx(b) = 1
on side(A, x = 0): a = 0
on side(B, x = 2): b = 0
on meet: jump(a) = 0; dot(grad(a), n) = 2*dot(grad(b), n)
