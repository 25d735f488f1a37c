// Package repo has the tests that hold the repository to its own rules.
package repo
