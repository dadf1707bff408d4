# A fin that radiates what its root gives it.
problem radiating_fin
space    x
domain   fin = interval(0, 1)
param    e ~ uniform(0.5, 5), T0 ~ uniform(0.8, 1.2)
unknown  T : scalar on fin
in fin: dxx(T) = e*T^4
on side(fin, x = 0): T = T0
on side(fin, x = 1): dn(T) = 0
