"""The numbers of one array: arithmetic, bit patterns, and the formats that slots are stored in."""
