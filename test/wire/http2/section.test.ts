/**
 * What can be a request, or the trailers of one (RFC 9113 section 8).
 */
import { describe, expect, test } from 'vitest'
import { flawOfRequest, isTrailerSection } from '../../../src/wire/http2/section.ts'

const GET = [':method', 'GET', ':scheme', 'https', ':authority', 'a', ':path', '/']
const CONNECT = [':method', 'CONNECT', ':authority', 'a:80']
const WEB_SOCKET = [...CONNECT, ':protocol', 'websocket', ':scheme', 'https', ':path', '/chat']

describe('requests', () => {
  test.each([
    [GET],
    [[':path', '/?a=%20', ':method', 'x-y', ':scheme', 'https']],
    [[':method', 'OPTIONS', ':scheme', 'http', ':path', '*']],
    [[...GET, 'te', 'trailers', 'content-length', '0', 'x_y', '', 'cookie', 'a', 'cookie', 'b']],
    [[...GET, 'x', 'a\tb caf\xe9']],
    [CONNECT],
    [WEB_SOCKET],
  ])('%j is one', (fields) => {
    expect(flawOfRequest(fields)).toBe(null)
  })

  test.each([
    ['the target of OPTIONS in another method', [':method', 'GET', ':scheme', 'http', ':path', '*']],
    ['CONNECT with a path', [...CONNECT, ':path', '/']],
    ['CONNECT with a scheme', [...CONNECT, ':scheme', 'http']],
    ['CONNECT to nowhere', [':method', 'CONNECT']],
    ['a protocol in another method', [...GET, ':protocol', 'websocket']],
    ['a WebSocket to nowhere', WEB_SOCKET.filter((_, n) => n !== 2 && n !== 3)],
    ['a scheme that is none', [':method', 'GET', ':scheme', 'ht tp', ':path', '/']],
    ['a length that is none', [...GET, 'content-length', '1, 1']],
    ['a length with a sign', [...GET, 'content-length', '+1']],
    ['Host with blanks', [...GET, 'host', 'a b']],
    ['nothing', []],
  ])('%s is none', (_, fields) => {
    expect(flawOfRequest(fields)).toBe('reset')
  })

  test.each([[[...GET, 'x y', '1']], [[...GET, 'x', '1\r\ny: 2']], [[...GET, 'x', ' 1']], [[...GET, '', '1']]])(
    '%j is refused',
    (fields) => {
      expect(flawOfRequest(fields)).toBe('refused')
    },
  )

  test('what resets a stream does so behind what is refused', () => {
    expect(flawOfRequest([...GET, 'x', ' 1', 'connection', 'close'])).toBe('reset')
  })
})

test('trailers have to be whole', () => {
  expect(isTrailerSection(['x-sum', '1'])).toBe(true)
  for (const fields of [
    [':path', '/'],
    ['x', 'a\r\nb: c'],
    ['X', '1'],
    ['te', 'gzip'],
    ['connection', 'x'],
  ])
    expect(isTrailerSection(fields)).toBe(false)
})
