;; SPDX-License-Identifier: GPL-2.0
;; A guest for tests: it reads and writes at given addresses.
(module
  (memory (export "memory") 2)
  (data (i32.const 4096) "image")
  (func (export "load") (param $at i32) (result i32)
    (i32.load (local.get $at)))
  (func (export "store") (param $at i32) (param $value i32)
    (i32.store (local.get $at) (local.get $value)))
  ;; What an instruction can reach at most.
  (func (export "load_far") (param $at i32) (result i64)
    (i64.load offset=0xffffffff (local.get $at)))
  (func (export "store_far") (param $at i32)
    (i64.store offset=0xffffffff (local.get $at) (i64.const -1)))
  (func (export "grow") (param $pages i32) (result i32)
    (memory.grow (local.get $pages)))
  (func (export "size") (result i32)
    (memory.size))
  (func (export "fill") (param $at i32) (param $value i32) (param $len i32)
    (memory.fill (local.get $at) (local.get $value) (local.get $len)))
  ;; Write a word to each of some places.
  (func (export "spread") (param $at i32) (param $step i32) (param $times i32)
    (loop $next
      (i32.store (local.get $at) (i32.const -1))
      (local.set $at (i32.add (local.get $at) (local.get $step)))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $next (local.get $times))))
  ;; All bits of a range that are set in any of its words.
  (func (export "bits") (param $at i32) (param $end i32) (result i64)
    (local $bits i64)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $bits
          (i64.or (local.get $bits) (i64.load (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next)))
    (local.get $bits)))
