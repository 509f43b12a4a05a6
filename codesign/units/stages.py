"""Pipeline stages of the float units (rtl/float_pkg.sv; a test compares)."""

INT_TO_FLOAT = 2
FLOAT_TO_INT = 2
FLOAT_ADD = 4
FLOAT_MULTIPLY = 3
FLOAT_DIVIDE = 16
FLOAT_MAXIMUM = 1
FLOAT_EXP = 8
FLOAT_SQUARE_ROOT = 15
