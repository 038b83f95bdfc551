/**
 * What an answer that is not stored does to what is stored, and to those who ask next.
 */
import { describe, expect, test } from 'vitest'
import { aftermathOf, isOfOneRequest, tellingFields, type Unstored } from '../../../src/rules/caching/resource.ts'
import { raw } from './make.ts'

const nothing = { drops: false, marks: false }

function effect(over: Partial<Unstored>) {
  return aftermathOf({ status: 200, why: 'private', refreshes: true, ...over })
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

describe('what one request gets leaves a fresh answer for all others alone', () => {
  test.each(['private', 'no-store', 'set-cookie', 'vary', 'too-large'] as const)('%s', (why) => {
    expect(effect({ why, refreshes: false })).toEqual({ drops: false, marks: true })
  })
  test('an answer that Authorization keeps from being stored', () => {
    expect(effect({ why: 'authorization' })).toEqual({ drops: false, marks: true })
  })
})

test.each([
  [['Host: a.test', 'User-Agent: x', 'Accept-Language: de', 'Cache-Control: no-cache', 'Sec-Fetch-Mode: cors'], ''],
  [['X-Forwarded-For: 1.1.1.1', 'If-None-Match: "x"', 'Range: bytes=0-1', 'Referer: /'], ''],
  [['Cookie: a=b', 'Accept: */*'], 'cookie'],
  [['X-Auth-Token: t', 'cookie: a=b', 'Cookie: c=d'], 'cookie,x-auth-token'],
  [['Authorization: Basic x', 'X-Api-Key: k'], 'authorization,x-api-key'],
])('by which fields somebody may be known: %j', (lines, expected) => {
  expect(tellingFields(raw(...lines))).toBe(expected)
})
