; Claim I1 in floating point, at a small format (4 bits of exponent, 5 of significand, 1 hidden):
; with i <= a, i <= b and u = fl(fl(a + b) - i), always u >= i, so fl(i / u) <= 1.
; The proof by monotone rounding holds at each precision; here every value is tried.
(set-logic QF_FP)
(define-sort F () (_ FloatingPoint 4 5))
(declare-const a F)
(declare-const b F)
(declare-const i F)
(define-fun zero () F (_ +zero 4 5))
(define-fun one () F ((_ to_fp 4 5) RNE 1.0))
(define-fun sum () F (fp.add RNE a b))
(define-fun u () F (fp.sub RNE sum i))
(assert (and (fp.leq zero i) (fp.leq i a) (fp.leq i b)))
(assert (not (fp.isInfinite sum)))
(assert (fp.gt u zero))

; the union is not below the intersection
(push)
(assert (not (fp.leq i u)))
; expect: unsat
(check-sat)
(pop)

; 0 <= fl(i / u) <= 1
(push)
(assert (not (and (fp.leq zero (fp.div RNE i u)) (fp.leq (fp.div RNE i u) one))))
; expect: unsat
(check-sat)
(pop)

; rounding is monotone: smaller sides give a smaller product
(push)
(declare-const w F)
(declare-const h F)
(declare-const iw F)
(declare-const ih F)
(assert (and (fp.leq zero iw) (fp.leq iw w) (fp.leq zero ih) (fp.leq ih h)))
(assert (not (or (fp.isInfinite w) (fp.isInfinite h))))
(assert (not (fp.leq (fp.mul RNE iw ih) (fp.mul RNE w h))))
; expect: unsat
(check-sat)
(pop)

; control: a fused multiply-add takes the exact product iw ih from the sum, not its rounding;
; then a box can have an IoU above 1 with itself
(push)
(declare-const w F)
(declare-const h F)
(assert (and (fp.lt zero w) (fp.lt zero h)))
(assert (fp.eq a (fp.mul RNE w h)))
(assert (fp.eq b a))
(assert (fp.eq i a))
(assert (fp.isNormal i))
(define-fun fused () F (fp.fma RNE (fp.neg w) h sum))
(assert (fp.gt (fp.div RNE i fused) one))
; expect: sat
(check-sat)
(pop)

; control of claim I4: over the reals IoU = 1 only for equal areas a = b = i; in floats a quotient
; of 1 does not imply it
(push)
(assert (fp.lt i a))
(assert (fp.eq (fp.div RNE i u) one))
; expect: sat
(check-sat)
(pop)

; claim I3: a box with itself has IoU exactly 1
(push)
(assert (and (fp.eq i a) (fp.eq i b)))
(assert (not (fp.eq (fp.div RNE i u) one)))
; expect: unsat
(check-sat)
(pop)

; the control again, in IEEE binary32 with the box of width 8388609 and height 16777215
(push)
(define-fun w32 () (_ FloatingPoint 8 24) ((_ to_fp 8 24) RNE 8388609.0))
(define-fun h32 () (_ FloatingPoint 8 24) ((_ to_fp 8 24) RNE 16777215.0))
(define-fun area32 () (_ FloatingPoint 8 24) (fp.mul RNE w32 h32))
(define-fun sum32 () (_ FloatingPoint 8 24) (fp.add RNE area32 area32))
(define-fun one32 () (_ FloatingPoint 8 24) ((_ to_fp 8 24) RNE 1.0))
(push)
(assert (fp.gt (fp.div RNE area32 (fp.fma RNE (fp.neg w32) h32 sum32)) one32))
; expect: sat
(check-sat)
(pop)
(assert (not (fp.eq (fp.div RNE area32 (fp.sub RNE sum32 area32)) one32)))
; expect: unsat
(check-sat)
(pop)
