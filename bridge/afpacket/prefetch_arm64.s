#include "textflag.h"

// func prefetch(slot *byte)
TEXT ·prefetch(SB), NOSPLIT, $0-8
	MOVD slot+0(FP), R0
	PRFM 64(R0), PLDL1KEEP
	PRFM 128(R0), PLDL1KEEP
	RET
