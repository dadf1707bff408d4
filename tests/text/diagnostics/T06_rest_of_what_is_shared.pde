problem pan
space    x, y
domain   pan = disk(radius = 2, center = [0, 1]) - disk(radius = 1), egg = polygon([0, 0], [1, 0], [0, 1])
boundary meet = interface(pan, egg)
unknown  u : scalar on pan
in pan: lap(u) = 0
on rest(pan): u = 0
