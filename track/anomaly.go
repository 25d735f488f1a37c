package track

// Anomaly is something that is not as it should be and changes nothing else: a
// closed list, each with a counter.
type Anomaly uint8

// The anomalies.
const (
	AnomalyShortMessage     Anomaly = iota // a control message shorter than RFC 2637 makes it
	AnomalyUnknownMessage                  // a control message of unknown type
	AnomalyIllegalMessage                  // a control message that its state does not allow
	AnomalyUnmatchedMessage                // a control message about no known call
	AnomalySkippedMessage                  // a control message about a call of too many that change nothing
	AnomalyStartResult                     // a start reply with result 0, which grants as 1 does
	AnomalyMissedOctets                    // control octets that did not cross the box
	AnomalyEarlyGRE                        // GRE that came before its call was agreed, and was held
	AnomalyGREHeader                       // GRE of a call whose header has faults
	AnomalyCallIDTaken                     // a call agreed with an ID of another connection's live call
	AnomalyLimit                           // something that a limit refused

	// NumAnomalies is the length of an array indexed by Anomaly.
	NumAnomalies
)

var anomalyNames = [NumAnomalies]string{
	AnomalyShortMessage: "short-message", AnomalyUnknownMessage: "unknown-message",
	AnomalyIllegalMessage: "illegal-message", AnomalyUnmatchedMessage: "unmatched-message", AnomalySkippedMessage: "skipped-message",
	AnomalyStartResult: "start-result", AnomalyMissedOctets: "missed-octets", AnomalyEarlyGRE: "early-gre", AnomalyGREHeader: "gre-header", AnomalyCallIDTaken: "call-id-taken", AnomalyLimit: "limit",
}

// String returns the anomaly's name as the commands print it.
func (a Anomaly) String() string { return anomalyNames[a] }

func (w *work) count(a Anomaly) { w.anomalies[a].Add(1) }

// Anomalies returns the counters of all Lanes together.
func (t *Tracker) Anomalies() (sum [NumAnomalies]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a := range sum {
		sum[a] = t.ticks.anomalies[a].Load()
		for _, l := range t.lanes {
			sum[a] += l.anomalies[a].Load()
		}
	}
	return sum
}
