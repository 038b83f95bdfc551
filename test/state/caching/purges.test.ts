/**
 * The log of purges: each entry is compared with each purge once, what is forgotten counts as purged, and what another process
 * has stored is judged by how far that one had read the shared log.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Purge, PurgeTarget } from '../../../src/rules/caching/purge.ts'
import { NOWHERE } from '../../../src/state/caching/log-order.ts'
import { MAX_PURGES, PurgeLog } from '../../../src/state/caching/purges.ts'
import { entry, place } from '../make.ts'

const url = (text: string): PurgeTarget => ({ what: 'url', url: text })
let counter = 0
const hard = (target: PurgeTarget): Purge => ({ id: `id ${counter++}`, target, soft: false, atMs: 0 })
const alone = () => new PurgeLog(false)

/** One that has read a log without purges. */
function shared(): PurgeLog {
  const log = new PurgeLog(true)
  log.read('0-7', 0, null)
  return log
}

/** Records of a log, each under its number; `lineage` tells logs apart. */
function read(log: PurgeLog, from: number, purges: readonly (Purge | null)[], lineage = 7): void {
  for (const [i, purge] of purges.entries()) log.read(`${from + i}-${lineage}`, from + i, purge)
}

describe('in memory', () => {
  test('a purge covers what was there before it', () => {
    const log = alone()
    const before = entry()
    log.add(hard(url('/a')))
    expect(log.ofMemory(before, place('/a'))).toBeNull()
    expect(log.ofMemory(entry(), place('/b'))).not.toBeNull()
    expect(log.ofMemory(entry({ checked: log.count }), place('/a'))).not.toBeNull()
  })

  test('an entry that has been compared is not compared again', () => {
    const log = alone()
    const one = entry()
    log.add(hard(url('/b')))
    expect(log.ofMemory(one, place('/a'))).toBe(one)
    expect(one.checked).toBe(log.count)
  })

  test('a soft purge leaves it stale from then on', () => {
    const log = alone()
    const one = entry()
    log.add({ ...hard(url('/a')), soft: true, atMs: 5 })
    const remains = log.ofMemory(one, place('/a'))
    expect(remains?.meta.freshUntilMs).toBe(5)
    expect(remains?.checked).toBe(log.count)
    expect(one.meta.freshUntilMs).toBeGreaterThan(5)
  })

  test.each<[string, PurgeTarget[]]>([
    ['a path', [url('/a')]],
    ['a whole URL', [url('https://Shop.Test:443/a#x')]],
    ['escapes', [url('/%61')]],
    ['a prefix', [{ what: 'prefix', url: '/' }]],
    ['a route, behind others', [url('/x'), { what: 'route', route: 'r', upstream: null }, url('/y')]],
  ])('it is found among others: %s', (_, targets) => {
    const log = alone()
    const one = entry()
    for (const target of targets) log.add(hard(target))
    expect(log.ofMemory(one, place('/a'))).toBeNull()
    expect(log.touches(place('/a'), 0)).toBe(true)
    expect(log.touches(place('/a'), log.count)).toBe(false)
  })

  test('by the rules of the route for its key', () => {
    const log = alone()
    const key = {
      query: { kind: 'drop', names: new Set(['utm']) },
      anyQueryOrder: true,
      headers: [],
      cookies: [],
    } as const
    log.add(hard(url('/a?utm=1&y=2&x=1')))
    expect(log.ofMemory(entry(), place('/a?x=1&y=2', [], { key }))).toBeNull()
    log.add(hard(url('http://shop.test/b?x=1&utm=2')))
    expect(log.ofMemory(entry(), place('/b?x=1', [], { key }))).toBeNull()
    expect(log.ofMemory(entry(), place('/b?x=1'))).not.toBeNull()
  })

  test('a repeated purge takes the place of the earlier one', () => {
    const log = alone()
    for (let i = 0; i < 3 * MAX_PURGES; i++) log.add(hard(url('/a')))
    expect(log.ofMemory(entry(), place('/b'))).not.toBeNull()
  })

  test('one that is heard of twice is one', () => {
    const log = shared()
    const purge = hard(url('/a'))
    log.add(purge)
    const since = entry({ checked: log.count })
    expect(log.add({ ...purge })).toBe(false)
    read(log, 1, [purge])
    expect(log.ofMemory(since, place('/a'))).toBe(since)
  })

  test('thousands of other URLs take nothing away', () => {
    const log = alone()
    const old = entry()
    for (let i = 0; i < MAX_PURGES; i++) log.add(hard(url(`/${i}`)))
    expect(log.ofMemory(old, place('/x'))).not.toBeNull()
  })

  test('of those too many to be remembered one by one, it is known what they may cover', () => {
    const log = alone()
    const old = entry()
    const tagged = ['X-Tags', 'shoes sale']
    log.add(hard(url('http://shop.test/gone?x=1')))
    log.add(hard({ what: 'tag', tag: 'sale' }))
    const since = log.count
    for (let i = 0; i <= 2 * MAX_PURGES; i++) log.add(hard(url(`/${i}`)))
    expect(log.ofMemory(entry(), place('/gone?x=1'))).toBeNull()
    expect(log.ofMemory(entry(), place('/17'))).toBeNull()
    expect(log.ofMemory(entry({ rawHeaders: tagged }), place('/other', [], { tags: 'x-tags' }))).toBeNull()
    expect(log.ofMemory(entry({ checked: since }), place('/gone?x=1'))).not.toBeNull()
    // Nearly all others stay.
    const others = Array.from({ length: 200 }, (_, i) => log.ofMemory({ ...old }, place(`/other/${i}`)))
    expect(others.filter((remains) => remains === null).length).toBeLessThan(60)
    expect(log.touches(place('/gone'), 0)).toBe(true)
  })

  test('a forgotten one of a prefix may cover anything', () => {
    const log = alone()
    log.add(hard({ what: 'prefix', url: '/a' }))
    for (let i = 0; i <= MAX_PURGES; i++) log.add(hard(url(`/${i}`)))
    expect(log.ofMemory(entry(), place('/x'))).toBeNull()
    expect(log.ofMemory(entry({ checked: 1 }), place('/x'))).not.toBeNull()
  })
})

describe('shared', () => {
  test('the position says which purges an entry has seen', () => {
    const log = shared()
    read(log, 1, [hard(url('/a')), hard(url('/b')), null])
    expect([log.position, log.generation]).toEqual(['3-7', 3])
    expect(log.ofShared(entry({ position: '0-7' }), place('/a'))).toBeNull()
    expect(log.ofShared(entry({ position: '0-7' }), place('/x'))).not.toBeNull()
    expect(log.ofShared(entry({ position: '1-7' }), place('/a'))).not.toBeNull()
    expect(log.ofShared(entry({ position: '1-7' }), place('/b'))).toBeNull()
    expect(log.ofShared(entry({ position: '3-7' }), place('/b'))).not.toBeNull()
  })

  test.each(['4-7', '1-8', NOWHERE, '0-8', '', 'x', '-1-7', '1-7-7', '99999999999999999999-1'])(
    'who has read something else is not believed: %j',
    (position) => {
      const log = shared()
      read(log, 1, [hard(url('/a'))])
      expect(log.ofShared(entry({ position }), place('/x'))).toBeNull()
    },
  )

  test('what the log lacks comes after all that can be read there', () => {
    const log = shared()
    read(log, 1, [hard(url('/x'))])
    const mine = [hard(url('/a')), hard({ what: 'prefix', url: '/b' })]
    for (const one of mine) log.add(one)
    expect([...log.unshared].map(({ purge }) => purge)).toEqual(mine)
    for (const path of ['/a', '/b/c']) expect(log.ofShared(entry({ position: '1-7' }), place(path))).toBeNull()
    read(log, 2, mine)
    expect(log.unshared.size).toBe(0)
    for (const path of ['/a', '/b/c']) expect(log.ofShared(entry({ position: '3-7' }), place(path))).not.toBeNull()
  })

  test('a like one of somebody else, written before, does not count for one that was ordered here since', () => {
    const log = shared()
    log.add(hard(url('/a')))
    read(log, 1, [hard(url('/a'))])
    expect(log.unshared.size).toBe(1)
    expect(log.ofShared(entry({ position: '1-7' }), place('/a'))).toBeNull()
  })

  test('in another log nothing is of use that was stored under the one before, and all purges are written again', () => {
    const log = shared()
    const purges = [hard(url('/1')), hard({ what: 'prefix', url: '/2' })]
    read(log, 1, purges)
    log.cut(-1)
    expect([...log.unshared].map(({ purge }) => purge)).toEqual(purges)
    expect(log.generation).toBe(0)
    for (const position of [log.position, '0-7', '1-7']) {
      expect(log.ofShared(entry({ position }), place('/x'))).toBeNull()
    }
    log.read('0-8', 0, null)
    expect(log.ofShared(entry({ position: '0-8' }), place('/x'))).not.toBeNull()
    expect(log.ofShared(entry({ position: '0-8' }), place('/1'))).toBeNull()
    read(log, 1, purges, 8)
    expect(log.ofShared(entry({ position: '2-8' }), place('/1'))).not.toBeNull()
    expect(log.ofShared(entry({ position: '0-7' }), place('/x'))).toBeNull()
  })

  test('a log that began with its first purge lacks nothing', () => {
    const log = new PurgeLog(true, () => expect.unreachable())
    const before = entry()
    read(log, 1, [hard(url('/a'))])
    expect(log.ofMemory(before, place('/x'))).not.toBeNull()
  })

  test('in another log that goes on from a record that is known, what came after it is written again', () => {
    const log = shared()
    const [one, two, three] = [hard(url('/1')), hard(url('/2')), hard({ what: 'prefix', url: '/3' })]
    read(log, 1, [one, two, three])
    log.cut(1)
    const other = hard(url('/4'))
    read(log, 2, [other], 8)
    expect([...log.unshared].map(({ purge }) => purge)).toEqual([two, three])
    // What was asked for when the lost records were known says nothing about what came in their place.
    for (const position of ['2-7', '3-7']) expect(log.ofShared(entry({ position }), place('/x'))).toBeNull()
    expect(log.ofShared(entry({ position: '1-7' }), place('/x'))).not.toBeNull()
    for (const path of ['/2', '/3']) expect(log.ofShared(entry({ position: '2-8' }), place(path))).toBeNull()
    read(log, 3, [two, three], 8)
    for (const path of ['/2', '/3']) {
      expect(log.ofShared(entry({ position: '2-8' }), place(path))).toBeNull()
      expect(log.ofShared(entry({ position: '4-8' }), place(path))).not.toBeNull()
    }
  })

  test('also where there were more than are remembered one by one', () => {
    const log = shared()
    const kept = { position: '0-7' }
    read(log, 1, [hard(url('/gone')), ...Array.from({ length: 2 * MAX_PURGES }, (_, i) => hard(url(`/${i}`)))])
    expect(log.ofShared(entry(kept), place('/gone'))).toBeNull()
    expect(log.ofShared(entry({ position: '1-7' }), place('/gone'))).not.toBeNull()
    const others = Array.from({ length: 200 }, (_, i) => log.ofShared(entry(kept), place(`/other/${i}`)))
    expect(others.filter((remains) => remains === null).length).toBeLessThan(60)
  })

  test('records that can not be read any more may cover anything', () => {
    let emptied = 0
    const log = new PurgeLog(true, () => emptied++)
    read(log, 1, [hard(url('/a'))])
    const before = entry({ checked: log.count })
    read(log, 3, [hard(url('/b'))])
    expect(emptied).toBe(1)
    expect(log.ofMemory(before, place('/x'))).toBeNull()
    for (const position of ['0-7', '1-7']) expect(log.ofShared(entry({ position }), place('/x'))).toBeNull()
    expect(log.ofShared(entry({ position: '3-7' }), place('/x'))).not.toBeNull()
  })

  test('more than can be told apart later are one of everything for others, and nothing is lost here', () => {
    const log = shared()
    const kept = entry()
    for (let i = 0; i <= MAX_PURGES / 2; i++) log.add(hard(url(`/${i}`)))
    expect([...log.unshared].map(({ purge }) => purge.target)).toEqual([{ what: 'everything' }])
    expect(log.ofShared(entry({ position: '0-7' }), place('/x'))).toBeNull()
    expect(log.ofMemory(kept, place('/x'))).not.toBeNull()
    expect(log.ofMemory(entry(), place('/0'))).toBeNull()
  })

  test('once the log has that one, what is stored after it is used, under their URLs too', () => {
    const log = shared()
    read(log, 1, [hard(url('/x'))])
    log.add(hard({ what: 'prefix', url: '/p' }))
    for (let i = 0; i < MAX_PURGES / 2; i++) log.add(hard(url(`/${i}`)))
    const [one] = [...log.unshared].map(({ purge }) => purge)
    read(log, 2, [one!])
    expect(log.unshared.size).toBe(0)
    for (const path of ['/0', '/7', '/p/q', '/other']) {
      expect(log.ofShared(entry({ position: '1-7' }), place(path))).toBeNull()
      expect(log.ofShared(entry({ position: '2-7' }), place(path))).not.toBeNull()
    }
    // A log that lacks it is given it again.
    log.cut(1)
    expect([...log.unshared].map(({ purge }) => purge)).toEqual([one])
    for (const path of ['/0', '/p/q', '/other']) {
      expect(log.ofShared(entry({ position: '1-7' }), place(path))).toBeNull()
    }
  })

  test('no order of purges and entries serves what was purged after it was asked for', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('store' as const), path: fc.constantFrom('/a', '/b') }),
      fc.record({ kind: fc.constant('purge' as const), path: fc.constantFrom('/a', '/b', '/') }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const log = shared()
        const kept = new Map<string, ReturnType<typeof entry>>()
        const valid = new Map<string, boolean>()
        for (const { kind, path } of steps) {
          if (kind === 'store') {
            kept.set(path, entry({ checked: log.count, position: log.position }))
            valid.set(path, true)
          } else {
            const target: PurgeTarget = path === '/' ? { what: 'prefix', url: '/' } : url(path)
            read(log, log.generation + 1, [hard(target)])
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
