/**
 * What an answer that is not stored does to what is stored, and to those who ask next.
 */
import { describe, expect, test } from 'vitest'
import { aftermathOf, isOfOneRequest, type Unstored } from '../../../src/rules/caching/resource.ts'
import { request } from './make.ts'

const nothing = { drops: false, marks: false }

function effect(over: Partial<Unstored>, asks: string[] = []) {
  return aftermathOf({ request: request(asks), status: 200, why: 'private', refreshes: true, ...over })
}

describe('an answer about one request tells nothing about the resource', () => {
  const statuses = [401, 407, 408, 412, 413, 416, 417, 421, 425, 426, 428, 429, 431, 511]
  test.each(statuses)('%i', (status) => {
    expect(isOfOneRequest(status)).toBe(true)
    expect(effect({ status, why: 'status' })).toEqual(nothing)
  })
  test.each([400, 402, 405, 406, 409, 415, 418, 422])('%i, an error of one request all the same', (status) => {
    expect(effect({ status, why: 'error' })).toEqual(nothing)
    expect(effect({ status, why: 'no-store' })).toEqual(nothing)
  })
  test.each([500, 502, 503, 504])('%i: a failing upstream', (status) => {
    expect(effect({ status, why: 'no-store' })).toEqual(nothing)
  })
  test.each(['request-no-store', 'method', 'partial', 'status'] as const)('%s is the doing of the request', (why) => {
    expect(effect({ why })).toEqual(nothing)
  })
})

describe('an answer about the resource takes the place of what was stored', () => {
  test.each(['private', 'no-store', 'set-cookie', 'vary', 'no-use', 'too-large', 'must-understand'] as const)(
    '%s',
    (why) => {
      expect(effect({ why })).toEqual({ drops: true, marks: true })
      expect(effect({ why }, ['Cookie: sid=1'])).toEqual({ drops: true, marks: true })
    },
  )
  test.each([301, 302, 404, 410])('%i that is not stored', (status) => {
    expect(effect({ status, why: 'not-cacheable' })).toEqual({ drops: true, marks: true })
  })
  test('403 ends a stale page, and leaves a fresh one', () => {
    expect(effect({ status: 403, why: 'error' })).toEqual({ drops: true, marks: false })
    expect(effect({ status: 403, why: 'error', refreshes: false })).toEqual(nothing)
  })
})

describe('what somebody who is known gets leaves a fresh answer for all others alone', () => {
  test.each([['Cookie: sid=1'], ['Authorization: Basic x']])('%s', (line) => {
    expect(effect({ refreshes: false }, [line])).toEqual({ drops: false, marks: true })
    expect(effect({ refreshes: false })).toEqual({ drops: true, marks: true })
  })
  test('an answer that Authorization keeps from being stored', () => {
    expect(effect({ why: 'authorization' }, ['Authorization: x'])).toEqual({ drops: false, marks: true })
  })
})
