/**
 * The log of purges: each entry is compared with each purge once, and what is forgotten counts as purged.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PurgeTarget } from '../../../src/rules/caching/purge.ts'
import { MAX_PURGES, PurgeLog } from '../../../src/state/caching/purges.ts'
import { entry, place } from '../make.ts'

const url = (text: string): PurgeTarget => ({ what: 'url', url: text })
const hard = (target: PurgeTarget) => ({ target, soft: false, atMs: 0 })

describe('in memory', () => {
  test('a purge covers what was there before it', () => {
    const log = new PurgeLog()
    const before = entry()
    log.add(hard(url('/a')), 0)
    expect(log.ofMemory(before, place('/a'))).toBeNull()
    expect(log.ofMemory(entry(), place('/b'))).not.toBeNull()
    expect(log.ofMemory(entry({ checked: log.count }), place('/a'))).not.toBeNull()
  })

  test('an entry that has been compared is not compared again', () => {
    const log = new PurgeLog()
    const one = entry()
    log.add(hard(url('/b')), 0)
    expect(log.ofMemory(one, place('/a'))).toBe(one)
    expect(one.checked).toBe(log.count)
  })

  test('a soft purge leaves it stale from then on', () => {
    const log = new PurgeLog()
    const one = entry()
    log.add({ target: url('/a'), soft: true, atMs: 5 }, 0)
    const remains = log.ofMemory(one, place('/a'))
    expect(remains?.meta.freshUntilMs).toBe(5)
    expect(remains?.checked).toBe(log.count)
    expect(one.meta.freshUntilMs).toBeGreaterThan(5)
  })

  test('a repeated purge takes the place of the earlier one', () => {
    const log = new PurgeLog()
    for (let i = 0; i < 3 * MAX_PURGES; i++) log.add(hard(url('/a')), 0)
    expect(log.ofMemory(entry(), place('/b'))).not.toBeNull()
  })

  test('what is older than all that is remembered counts as purged', () => {
    const log = new PurgeLog()
    const old = entry()
    for (let i = 0; i <= MAX_PURGES; i++) log.add(hard(url(`/${i}`)), 0)
    expect(log.ofMemory(old, place('/x'))).toBeNull()
    expect(log.ofMemory(entry({ checked: 1 }), place('/x'))).not.toBeNull()
  })
})

describe('shared', () => {
  test('the generation says which purges an entry has seen', () => {
    const log = new PurgeLog()
    log.add(hard(url('/a')), 10)
    log.add(hard(url('/b')), 20)
    expect(log.generation).toBe(20)
    expect(log.ofShared(entry({ generation: 9 }), place('/a'))).toBeNull()
    expect(log.ofShared(entry({ generation: 10 }), place('/a'))).not.toBeNull()
    expect(log.ofShared(entry({ generation: 10 }), place('/b'))).toBeNull()
    log.forget(15)
    expect(log.ofShared(entry({ generation: 14 }), place('/x'))).toBeNull()
  })

  test('no order of purges and entries serves what was purged after it was asked for', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('store' as const), path: fc.constantFrom('/a', '/b') }),
      fc.record({ kind: fc.constant('purge' as const), path: fc.constantFrom('/a', '/b', '/') }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const log = new PurgeLog()
        const kept = new Map<string, ReturnType<typeof entry>>()
        const valid = new Map<string, boolean>()
        for (const { kind, path } of steps) {
          if (kind === 'store') {
            kept.set(path, entry({ checked: log.count, generation: log.generation }))
            valid.set(path, true)
          } else {
            const target: PurgeTarget = path === '/' ? { what: 'prefix', url: '/' } : url(path)
            log.add(hard(target), log.count + 1)
            for (const one of valid.keys()) if (path === '/' || path === one) valid.set(one, false)
          }
          for (const [one, answer] of kept) {
            expect(log.ofMemory({ ...answer }, place(one)) !== null).toBe(valid.get(one))
            expect(log.ofShared({ ...answer }, place(one)) !== null).toBe(valid.get(one))
          }
        }
      }),
    )
  })
})
