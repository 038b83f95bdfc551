/**
 * Pins after writes: how long they last, what ends them, and that they are bounded.
 */
import { expect, test } from 'vitest'
import { matchRoute } from '../../src/rules/routing/match.ts'
import { MAX_PIN_MS, type Pin, Pins } from '../../src/state/pins.ts'
import { tableOf, view } from '../rules/make.ts'

const tableAt = (percent: number) =>
  tableOf([
    { id: 'r', group: 'g', match: { path: '/' }, percent, sticky: ['query:k', 'request'], pinAfterWrite: '10s' },
  ])
const table = tableAt(50)

let nowMs = 1_000_000
const pinsOf = () => new Pins(() => nowMs)
const sideOf = (pins: Pins, key: string, method = 'GET') => {
  const request = view(`/?k=${key}`, { method })
  return pins.sideFor(matchRoute(table, request), request)
}

test('a pin is for reads of its key and salt, and lasts as long as it was made for', () => {
  const pins = pinsOf()
  expect(sideOf(pins, 'a')).toBeNull()
  pins.pin('g', 'a', 'from', 5, 10_000)
  pins.pin('other', 'b', 'from', 5, 10_000)
  expect([sideOf(pins, 'a'), sideOf(pins, 'b'), sideOf(pins, ''), sideOf(pins, 'a', 'POST')]).toEqual([
    'from',
    null,
    null,
    null,
  ])
  pins.pin('g', 'a', 'to', 5, 10_000)
  expect(sideOf(pins, 'a', 'HEAD')).toBe('to')
  nowMs += 10_000
  expect(sideOf(pins, 'a')).toBeNull()
})

test('a take-back ends the pins to `to` of writes that began before it, in whatever order processes tell of them', () => {
  const pins = pinsOf()
  for (const key of ['a', 'b']) pins.pin('g', key, key === 'a' ? 'to' : 'from', 0, 10_000)
  pins.edited(table, tableAt(60))
  expect([sideOf(pins, 'a'), sideOf(pins, 'b')]).toEqual(['to', 'from'])
  pins.edited(tableAt(60), tableAt(10))
  expect([sideOf(pins, 'a'), sideOf(pins, 'b')]).toEqual([null, 'from'])
  nowMs += 100
  pins.pin('g', 'late', 'to', 200, 10_000)
  pins.pin('g', 'new', 'to', 50, 10_000)
  expect([sideOf(pins, 'late'), sideOf(pins, 'new')]).toEqual([null, 'to'])
})

test('processes tell each other; the later write counts, and nobody learns a key', () => {
  const told: Pin[] = []
  const [one, other] = [pinsOf(), pinsOf()]
  one.onPinned = (pin) => told.push(pin)
  one.pin('g', 'alice', 'to', 0, 10_000)
  nowMs += 1
  other.pin('g', 'alice', 'from', 0, 10_000)
  expect(JSON.stringify(told)).not.toContain('alice')
  for (const pin of told) other.take(pin)
  expect(sideOf(other, 'alice')).toBe('from')
  nowMs += 1
  one.pin('g', 'alice', 'to', 0, 10_000)
  other.take(told.at(-1) as Pin)
  expect(sideOf(other, 'alice')).toBe('to')
})

test('there is a bound: the oldest make room', () => {
  const pins = pinsOf()
  for (let n = 0; n < 50_010; n++) pins.pin('g', String(n), 'to', 0, 10_000)
  expect([sideOf(pins, '9'), sideOf(pins, '10'), sideOf(pins, '50009')]).toEqual([null, 'to', 'to'])
})

test('a take-back ends pins of a route that moves in the table, and is forgotten when no pin can be left of before it', () => {
  const pins = pinsOf()
  const other = { id: 'other', match: { path: '/o' }, percent: 5 }
  const route = (percent: number) => ({
    ...{ id: 'r', group: 'g', match: { path: '/' }, percent, sticky: ['query:k'], pinAfterWrite: '1h' },
  })
  pins.pin('g', 'a', 'to', 0, MAX_PIN_MS)
  pins.edited(tableOf([route(50), other]), tableOf([other, route(10)]))
  expect(sideOf(pins, 'a')).toBeNull()
  // Taken back once more, it lasts as long from then on; the one of another group is over before.
  pins.edited(tableOf([{ ...other, percent: 9 }]), tableOf([other]))
  nowMs += MAX_PIN_MS
  pins.edited(tableOf([route(50)]), tableOf([route(10)]))
  nowMs += 1
  pins.take({ ...pinned(pinsOf(), 'b'), atMs: nowMs - MAX_PIN_MS / 2 })
  pins.edited(tableOf([other]), tableOf([other]))
  expect(sideOf(pins, 'b')).toBeNull()
})

/** A pin of this key as another process tells it. */
function pinned(pins: Pins, key: string): Pin {
  let told: Pin | null = null
  pins.onPinned = (pin) => {
    told = pin
  }
  pins.pin('g', key, 'to', 0, MAX_PIN_MS)
  return told as unknown as Pin
}
