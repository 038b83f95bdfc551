/**
 * Rendezvous hashing: who moves when servers come, go and change their weight.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { serverOfKey } from '../../../src/rules/failures/rendezvous.ts'

const servers = fc.uniqueArray(
  fc.record({ name: fc.string({ minLength: 1 }), weight: fc.integer({ min: 1, max: 100 }) }),
  {
    minLength: 1,
    maxLength: 8,
    selector: ({ name }) => name,
  },
)

test('a server that comes moves keys to itself only, one that goes moves its own only, and the order does not count', () => {
  fc.assert(
    fc.property(servers, fc.array(fc.string(), { minLength: 1 }), (all, keys) => {
      const [last, ...rest] = all
      for (const key of keys) {
        const before = serverOfKey(rest, key)
        const after = serverOfKey(all, key)
        expect([before, last]).toContain(after)
        expect(serverOfKey(all.toReversed(), key)).toBe(after)
      }
    }),
  )
})

test('more weight moves keys to that server only', () => {
  fc.assert(
    fc.property(servers, fc.integer({ min: 1, max: 50 }), fc.string(), (all, more, key) => {
      const heavier = all.map((server, at) => (at === 0 ? { ...server, weight: server.weight + more } : server))
      const [before, after] = [serverOfKey(all, key)?.name, serverOfKey(heavier, key)?.name]
      if (after !== before) expect(after).toBe(all[0]?.name)
    }),
  )
})

test('a server gets, and when it comes takes over, its part by weight', () => {
  const old = [
    { name: '10.0.0.1:80', weight: 1 },
    { name: '10.0.0.2:80', weight: 2 },
  ]
  const all = [...old, { name: '10.0.0.3:80', weight: 1 }]
  const keys = Array.from({ length: 20_000 }, (_, n) => `192.0.${n >> 8}.${n & 255}`)
  const partOf = (name: string) => keys.filter((key) => serverOfKey(all, key)?.name === name).length / keys.length
  expect(partOf('10.0.0.1:80')).toBeCloseTo(0.25, 1)
  expect(partOf('10.0.0.2:80')).toBeCloseTo(0.5, 1)
  const moved = keys.filter((key) => serverOfKey(old, key)?.name !== serverOfKey(all, key)?.name).length
  expect(moved / keys.length).toBe(partOf('10.0.0.3:80'))
  expect(moved / keys.length).toBeCloseTo(0.25, 1)
  expect(serverOfKey([], 'a')).toBeNull()
})
