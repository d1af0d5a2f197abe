"""The pure core: values and functions. No socket, no file, no clock, no logging; time is an argument."""
