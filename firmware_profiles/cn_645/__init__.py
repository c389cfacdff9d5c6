"""China: DL/T 645-2007 and readings over DL/T 698.45."""
