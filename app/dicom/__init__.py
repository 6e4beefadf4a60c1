"""Reading DICOM as it comes: bytes in, values out. Pure: no I/O here."""
