"""What people run and see: the command line and the app."""
