; Claims F1 and F7 in floating point (IEEE binary32), for images of bytes.
; The integer kernel is summed first and scaled once: y = fl(sum * fl(1/9)).
(set-logic QF_BVFP)
(define-sort F () (_ FloatingPoint 8 24))
(define-fun ninth () F (fp.div RNE ((_ to_fp 8 24) RNE 1.0) ((_ to_fp 8 24) RNE 9.0)))
(declare-const v (_ BitVec 8))
(define-fun x () F ((_ to_fp_unsigned 8 24) RNE v))

; F1: a constant image of bytes leaves the box unchanged, bit for bit
(push)
(define-fun sum () F (fp.mul RNE ((_ to_fp 8 24) RNE 9.0) x))
(assert (not (fp.eq (fp.mul RNE sum ninth) x)))
; expect: unsat
(check-sat)
(pop)

; F1, control: with the taps rounded to fl(1/9) and summed from left to right it does not;
; the byte 13 is one of 119 that come out changed, and one of 66 that come out too large
(push)
(assert (= v #x0d))
(define-fun t () F (fp.mul RNE x ninth))
(define-fun s2 () F (fp.add RNE t t))
(define-fun s3 () F (fp.add RNE s2 t))
(define-fun s4 () F (fp.add RNE s3 t))
(define-fun s5 () F (fp.add RNE s4 t))
(define-fun s6 () F (fp.add RNE s5 t))
(define-fun s7 () F (fp.add RNE s6 t))
(define-fun s8 () F (fp.add RNE s7 t))
(define-fun s9 () F (fp.add RNE s8 t))
(push)
(assert (not (fp.eq s9 x)))
; expect: sat
(check-sat)
(pop)
; F7, control: they overshoot the range of the image
(assert (fp.gt s9 x))
; expect: sat
(check-sat)
(pop)

; F7: multiplying by a positive constant keeps the order (here at 4 bits of significand, where
; every value is tried), so a sum between 9 lo and 9 hi gives a value between lo and hi
(push)
(define-sort S () (_ FloatingPoint 3 4))
(declare-const s S)
(declare-const t S)
(declare-const k S)
(assert (not (or (fp.isInfinite s) (fp.isInfinite t) (fp.isInfinite k))))
(assert (fp.leq s t))
(assert (not (fp.leq (fp.mul RNE s k) (fp.mul RNE t k))))
(push)
(assert (fp.leq (_ +zero 3 4) k))
; expect: unsat
(check-sat)
(pop)
; planted: by a constant of either sign
; expect: sat
(check-sat)
(pop)
