// Package report says what a run of package bench has found: as a table for a
// terminal, as JSON with every value of every round, as CSV with the same, and as
// one HTML file with the tables and plots in it, which needs nothing beside it.
package report
