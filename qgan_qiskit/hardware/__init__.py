"""Running circuits on devices: calibration, places on the chip, packed circuits."""
