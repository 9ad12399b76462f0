"""Labels, audits, calibration and promises."""
