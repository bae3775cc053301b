"""What a page shows: charts, tables and cards."""
