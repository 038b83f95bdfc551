/**
 * The memory of a piece is given up only where nobody else can have it on its way to a client.
 */
import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { Fill, type FillTerms } from '../../../src/proxy/caching/fill.ts'
import type { Lookup } from '../../../src/proxy/caching/lookup.ts'
import type { UpstreamRequest } from '../../../src/proxy/caching/upstream-request.ts'

const MADE = { key: '/a', print: '', parts: '', vary: [], selected: '' }

/** A client: what it was given, and whether that may be gone once it is written. */
class Client {
  readonly given: [text: string, spent: boolean][] = []
  readonly res = new EventEmitter()
  keepsUp = true
  ended = false

  get lookup(): Lookup {
    const answer = {
      begin: () => {},
      flush: () => true,
      body: (piece: Buffer, spent: boolean) => {
        this.given.push([piece.toString(), spent])
        return this.keepsUp
      },
      end: () => {
        this.ended = true
      },
    }
    return { ...MADE, exchange: { answer, res: this.res, exclusive: true }, done: () => {} } as unknown as Lookup
  }
}

test('a request that the answer was not made for gets none of it', () => {
  const other = Object.assign(new Client().lookup, { key: '/other' })
  const fill = fillFor({ storing: true, maxBytes: 10 })
  expect(() => fill.attach(other, 200, 'OK', [])).toThrow('not made for')
})

const fetch = { pause: () => {}, resume: () => {}, paused: false } as unknown as UpstreamRequest

function fillFor(terms: Partial<FillTerms>): Fill {
  const owner = { onFilled: () => {}, onTooLarge: () => {} }
  const first = new Client().lookup
  return new Fill(fetch, owner, { storing: false, maxBytes: 0, length: -1, first, madeFor: MADE, ...terms })
}

test('one reader of what is not stored: each piece may go', () => {
  const client = new Client()
  const fill = fillFor({})
  fill.attach(client.lookup, 200, 'OK', [])
  fill.onBody(Buffer.from('a'))
  fill.onEnd([])
  expect(client.given).toEqual([['a', true]])
})

test('what is stored stays', () => {
  const client = new Client()
  const fill = fillFor({ storing: true, maxBytes: 10 })
  fill.attach(client.lookup, 200, 'OK', [])
  fill.onBody(Buffer.from('a'))
  expect(client.given).toEqual([['a', false]])
})

test('of two readers the last one must not give up what the other one, though done, may still be sending', () => {
  const [quick, slow] = [new Client(), new Client()]
  const fill = fillFor({ storing: true, maxBytes: 1 })
  for (const client of [quick, slow]) fill.attach(client.lookup, 200, 'OK', [])
  slow.keepsUp = false
  for (const text of ['ab', 'cd', 'ef']) fill.onBody(Buffer.from(text))
  fill.onEnd([])
  expect(quick.ended).toBe(true)
  slow.keepsUp = true
  slow.res.emit('drain')
  expect(slow.ended).toBe(true)
  const all = ['ab', 'cd', 'ef'].map((text) => [text, false])
  expect([quick.given, slow.given]).toEqual([all, all])
})
