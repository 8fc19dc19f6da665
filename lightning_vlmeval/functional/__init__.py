"""Pure functions of numpy and text: a sample's row of statistics, and scores from sums of rows."""
