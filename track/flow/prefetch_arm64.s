#include "textflag.h"

// func prefetch(first *uint64, distance uintptr)
TEXT ·prefetch(SB), NOSPLIT, $0-16
	MOVD first+0(FP), R0
	MOVD distance+8(FP), R1
	ADD R0, R1, R1
	PRFM (R0), PLDL1KEEP
	PRFM (R1), PLDL1KEEP
	RET
