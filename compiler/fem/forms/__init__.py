"""From residuals to weak forms, symbolically."""
