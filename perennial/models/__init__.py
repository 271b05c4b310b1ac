"""What is fitted: estimators, the forecaster that holds them, compiled inference, intervals, simple rules."""
