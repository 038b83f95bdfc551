/**
 * Stored answers on the wire: what a hit looks like, conditions of the client, ranges, HEAD (RFC 9111 section 4).
 */
import { describe, expect, test } from 'vitest'
import { always, dateIn, fieldIn, inTurn, reply, startRig, statusOf } from './rig.ts'

describe('a hit', () => {
  test('has the stored fields, its Age and one Via, and asks nobody', async () => {
    const rig = await startRig()
    always(rig.legacy, 200, [
      'Cache-Control: max-age=60',
      'Age: 10',
      'X-Mine: #',
      'Connection: X-Hop',
      'X-Hop: 1',
      'Alt-Svc: h3',
    ])
    const first = await rig.get('/a')
    expect(statusOf(first)).toMatch(/^banyan;fwd=uri-miss;ttl=(4\d|50);stored$/)
    expect(fieldIn(first, 'age')).toBe('10')
    const hit = await rig.get('/a')
    expect(hit).toMatchObject({ status: 200, reason: 'Reason 200', body: { text: 'body 1', framing: 'length' } })
    expect(fieldIn(hit, 'age')).toMatch(/^1\d$/)
    expect(fieldIn(hit, 'via')).toBe('1.1 banyan')
    expect(fieldIn(hit, 'x-mine')).toBe('1')
    expect(fieldIn(hit, 'x-hop')).toBeUndefined()
    expect(fieldIn(hit, 'alt-svc')).toBeUndefined()
    // When it was received (RFC 9110 section 6.6.1), not when it is sent: a moment later, or a second.
    const sentMs = (response: typeof hit): number => Date.parse(fieldIn(response, 'date') as string)
    expect(sentMs(hit)).toBeLessThanOrEqual(sentMs(first))
    expect(statusOf(hit)).toMatch(/^banyan;hit;ttl=(4\d|50)$/)
    expect(rig.legacy.requests).toBe(1)
  })

  test('of a chunked answer has a length', async () => {
    const rig = await startRig()
    inTurn(
      rig.legacy,
      'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n',
    )
    const first = await rig.get('/a')
    expect(first.body).toMatchObject({ text: 'abcde', framing: 'chunked', trailers: [['X-T', '1']] })
    const hit = await rig.get('/a')
    expect(hit.body).toMatchObject({ text: 'abcde', framing: 'length', trailers: [] })
    expect(fieldIn(hit, 'trailer')).toBeUndefined()
    expect(fieldIn(await rig.ask('HEAD', '/a'), 'content-length')).toBe('5')
  })

  test('of an empty body, and of statuses other than 200', async () => {
    const rig = await startRig({ cache: '{ errors: explicit }' })
    for (const [target, status] of [
      ['/204', 204],
      ['/404', 404],
      ['/299', 299],
      ['/599', 599],
    ] as const) {
      inTurn(rig.legacy, reply(status, ['Cache-Control: max-age=60']))
      expect((await rig.get(target)).status).toBe(status)
      const hit = await rig.get(target)
      expect(hit.status).toBe(status)
      expect(statusOf(hit)).toContain('hit')
    }
  })

  test('the key may be shown', async () => {
    const rig = await startRig({ exposeKey: true })
    always(rig.legacy, 200, ['Cache-Control: max-age=60'])
    await rig.get('/a?b=c')
    expect(statusOf(await rig.get('/a?b=c'))).toContain('key="all legacy GET http://shop.test/a?b=c"')
  })

  test('the origin of the upstream stays inside', async () => {
    const rig = await startRig({ legacy: 'publicOrigin: https://public.test' })
    const own = `http://127.0.0.1:${rig.legacy.port}`
    always(rig.legacy, 301, ['Cache-Control: max-age=60', `Location: ${own}/b`])
    await rig.get('/a')
    expect(fieldIn(await rig.get('/a'), 'location')).toBe('https://public.test/b')
    expect(rig.legacy.requests).toBe(1)
  })
})

describe('what is not stored', () => {
  test.each([
    ['no-store', ['Cache-Control: no-store, max-age=60']],
    ['private', ['Cache-Control: private, max-age=60']],
    ['set-cookie', ['Cache-Control: max-age=60', 'Set-Cookie: sid=1']],
    ['vary', ['Cache-Control: max-age=60', 'Vary: *']],
    ['no-use', []],
  ])('%s', async (_why, lines) => {
    const rig = await startRig()
    always(rig.legacy, 200, lines)
    const first = await rig.get('/a')
    expect(statusOf(first)).toBe('banyan;fwd=uri-miss')
    expect((await rig.get('/a')).body.text).toBe('body 2')
  })

  test('an answer that breaks off', async () => {
    const rig = await startRig()
    const broken = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nabc'
    rig.legacy.handler = async (request) => {
      await request.send(broken)
      request.connection.finish()
      request.connection.socket.destroy()
    }
    await expect(rig.get('/a')).rejects.toThrow('broken off')
    always(rig.legacy, 200, ['Cache-Control: max-age=60'], 'whole')
    expect((await rig.get('/a')).body.text).toBe('whole')
  })

  test('a body beyond maxBody passes whole', async () => {
    const rig = await startRig({ cache: '{ maxBody: 1KiB }' })
    const body = 'x'.repeat(5000)
    const chunked = `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n${body}\r\n0\r\n\r\n`
    for (const answer of [reply(200, ['Cache-Control: max-age=60'], body), chunked]) {
      const seen = inTurn(rig.legacy, answer)
      expect((await rig.get('/a')).body.text).toBe(body)
      expect((await rig.get('/a')).body.text).toBe(body)
      expect(seen).toHaveLength(2)
    }
    expect(rig.plane.cache.figures().counters.skipped).toMatchObject({ 'too-large': expect.any(Number) })
  })

  test('a forced exchange neither stores nor reads', async () => {
    const rig = await startRig()
    const { makeForceToken } = await import('../../../src/state/force-token.ts')
    always(rig.modern, 200, ['Cache-Control: max-age=60'])
    const token = makeForceToken('a secret of the test', 'modern', Date.now() + 60_000)
    const fields = [`Banyan-Force: ${token}`, 'Banyan-Upstream: modern']
    expect(statusOf(await rig.get('/a', ...fields))).toBe('banyan;fwd=bypass')
    expect((await rig.get('/a', ...fields)).body.text).toBe('body 2')
  })
})

describe("the client's own conditions", () => {
  const lines = [
    'Cache-Control: max-age=60',
    'ETag: "one"',
    `Last-Modified: ${dateIn(-5000)}`,
    'Content-Type: text/plain',
    'X-A: 1',
  ]
  test.each([
    ['the tag', 'If-None-Match: "one"', 304],
    ['the tag, weakly, in a list', 'If-None-Match: "zero", W/"one"', 304],
    ['any', 'If-None-Match: *', 304],
    ['another tag', 'If-None-Match: "two"', 200],
    ['a later date', `If-Modified-Since: ${dateIn(-10)}`, 304],
    ['an earlier date', `If-Modified-Since: ${dateIn(-9000)}`, 200],
  ])('%s', async (_, condition, status) => {
    const rig = await startRig()
    always(rig.legacy, 200, lines)
    await rig.get('/a')
    for (const method of ['GET', 'HEAD']) {
      const response = await rig.ask(method, '/a', condition)
      expect(response.status).toBe(status)
      expect(fieldIn(response, 'etag')).toBe('"one"')
      expect(fieldIn(response, 'age')).toBeDefined()
      if (status === 304) {
        expect(fieldIn(response, 'content-type')).toBeUndefined()
        expect(fieldIn(response, 'content-length')).toBeUndefined()
      }
    }
    expect(rig.legacy.requests).toBe(1)
  })

  test('with nothing stored the whole is fetched, stored, and answered by them', async () => {
    const rig = await startRig()
    const seen = inTurn(rig.legacy, reply(200, ['ETag: "one"', 'Cache-Control: max-age=60'], 'stored'))
    expect((await rig.get('/a', 'If-None-Match: "one"')).status).toBe(304)
    expect(seen[0]!.field('if-none-match')).toBeUndefined()
    expect(await rig.get('/a', 'If-None-Match: "two"')).toMatchObject({ status: 200, body: { text: 'stored' } })
    expect(seen).toHaveLength(1)
  })

  test.each(['If-None-Match: "one"', `If-Modified-Since: ${dateIn(-60)}`])(
    'of what can not be stored they are answered with one request, and then go upstream as they are: %s',
    async (line) => {
      const rig = await startRig()
      const fields = ['ETag: "one"', `Last-Modified: ${dateIn(-3600)}`, 'Cache-Control: no-store', 'Set-Cookie: a=b']
      const seen: boolean[] = []
      rig.legacy.handler = (request) => {
        const conditional =
          request.field('if-none-match') !== undefined || request.field('if-modified-since') !== undefined
        seen.push(conditional)
        void request.send(conditional ? reply(304, fields) : reply(200, fields, 'for one'))
      }
      for (let i = 0; i < 3; i++) {
        const response = await rig.get('/a', line)
        expect([response.status, fieldIn(response, 'set-cookie'), fieldIn(response, 'etag')]).toEqual([
          304,
          'a=b',
          '"one"',
        ])
        expect([response.body.text, fieldIn(response, 'content-length')]).toEqual(['', undefined])
      }
      expect(seen).toEqual([false, true, true])
      // The first one was read to its end, so that its connection serves on.
      expect(rig.legacy.connections).toBe(1)
    },
  )

  test('of what can not be stored and has changed, the answer comes as it is', async () => {
    const rig = await startRig()
    always(rig.legacy, 200, ['ETag: "two"', 'Cache-Control: no-store'], 'for one')
    expect(await rig.get('/a', 'If-None-Match: "one"')).toMatchObject({ status: 200, body: { text: 'for one' } })
    expect(rig.legacy.requests).toBe(1)
  })

  test("If-Match is the origin's to answer", async () => {
    const rig = await startRig()
    always(rig.legacy, 200, lines)
    await rig.get('/a')
    const second = await rig.get('/a', 'If-Match: "two"')
    expect(second.body.text).toBe('body 2')
    expect(statusOf(second)).toContain('fwd=request')
  })
})

describe('ranges', () => {
  const rigWithTen = async () => {
    const rig = await startRig()
    inTurn(
      rig.legacy,
      reply(200, ['Cache-Control: max-age=60', 'ETag: "one"', 'Content-Type: text/plain'], '0123456789'),
    )
    await rig.get('/a')
    return rig
  }
  test.each([
    ['bytes=0-3', '0123', 'bytes 0-3/10'],
    ['bytes=7-', '789', 'bytes 7-9/10'],
    ['bytes=-2', '89', 'bytes 8-9/10'],
    ['bytes=5-99', '56789', 'bytes 5-9/10'],
  ])('%s', async (range, text, contentRange) => {
    const rig = await rigWithTen()
    const response = await rig.get('/a', `Range: ${range}`)
    expect(response).toMatchObject({ status: 206, body: { text } })
    expect(fieldIn(response, 'content-range')).toBe(contentRange)
    expect(fieldIn(response, 'content-length')).toBe(String(text.length))
    expect(fieldIn(response, 'etag')).toBe('"one"')
    expect(statusOf(response)).toContain('hit')
    expect(rig.legacy.requests).toBe(1)
  })

  test('several are a multipart', async () => {
    const rig = await startRig()
    const body = 'abcdefghij'.repeat(100)
    inTurn(rig.legacy, reply(200, ['Cache-Control: max-age=60', 'Content-Type: text/plain'], body))
    await rig.get('/a')
    const response = await rig.get('/a', 'Range: bytes=0-1,500-501')
    expect(response.status).toBe(206)
    const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(fieldIn(response, 'content-type') ?? '')?.[1]
    expect(response.body.text).toBe(
      `--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/1000\r\n\r\nab\r\n` +
        `--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 500-501/1000\r\n\r\nab\r\n--${boundary}--\r\n`,
    )
  })

  test('what lies beyond is 416, what is malformed the whole', async () => {
    const rig = await rigWithTen()
    const beyond = await rig.get('/a', 'Range: bytes=10-')
    expect(beyond).toMatchObject({ status: 416, body: { text: '' } })
    expect(fieldIn(beyond, 'content-range')).toBe('bytes */10')
    expect((await rig.get('/a', 'Range: bytes=3-1')).status).toBe(200)
    expect((await rig.get('/a', 'Range: lines=1-2')).body.text).toBe('0123456789')
  })

  test('If-Range', async () => {
    const rig = await rigWithTen()
    expect((await rig.get('/a', 'Range: bytes=0-0', 'If-Range: "one"')).status).toBe(206)
    expect((await rig.get('/a', 'Range: bytes=0-0', 'If-Range: "two"')).status).toBe(200)
  })

  test('on a miss the whole is fetched and stored', async () => {
    const rig = await startRig()
    const seen = inTurn(rig.legacy, reply(200, ['Cache-Control: max-age=60'], '0123456789'))
    expect(await rig.get('/a', 'Range: bytes=0-1')).toMatchObject({ status: 206, body: { text: '01' } })
    expect(seen[0]!.field('range')).toBeUndefined()
    expect(await rig.get('/a')).toMatchObject({ status: 200, body: { text: '0123456789' } })
    expect((await rig.get('/a', 'Range: bytes=10-')).status).toBe(416)
    expect(seen).toHaveLength(1)
  })

  test.each([
    ['is not cacheable', ['Cache-Control: no-store'], '{}'],
    ['is too large', ['Cache-Control: max-age=60'], '{ maxBody: 9B }'],
  ])('of what %s go upstream as they are, and a part is never stored as the whole', async (_, fields, cache) => {
    const rig = await startRig({ cache })
    rig.legacy.handler = (request) => {
      const part = request.field('range') === 'bytes=0-1'
      void request.send(
        part ? reply(206, [...fields, 'Content-Range: bytes 0-1/10'], '01') : reply(200, fields, '0123456789'),
      )
    }
    expect(await rig.get('/a', 'Range: bytes=0-1')).toMatchObject({ status: 206, body: { text: '01' } })
    expect(rig.legacy.requests).toBe(2)
    // From then on at once.
    expect(await rig.get('/a', 'Range: bytes=0-1')).toMatchObject({ status: 206, body: { text: '01' } })
    expect(rig.legacy.requests).toBe(3)
    expect(await rig.get('/a')).toMatchObject({ status: 200, body: { text: '0123456789' } })
  })
})

describe('HEAD', () => {
  test('is answered from a stored GET', async () => {
    const rig = await startRig()
    always(rig.legacy, 200, ['Cache-Control: max-age=60'])
    await rig.get('/a')
    const head = await rig.ask('HEAD', '/a', 'Range: bytes=0-1')
    expect(head.status).toBe(200)
    expect(fieldIn(head, 'content-length')).toBe('6')
    expect(rig.legacy.requests).toBe(1)
  })

  test('is not stored for GET', async () => {
    const rig = await startRig()
    always(rig.legacy, 200, ['Cache-Control: max-age=60'])
    await rig.ask('HEAD', '/a')
    expect((await rig.get('/a')).body.text).toBe('body 2')
  })

  test('that agrees refreshes the stored GET', async () => {
    const rig = await startRig()
    const seen = inTurn(
      rig.legacy,
      reply(200, ['Cache-Control: max-age=0', 'ETag: "one"', 'X-A: 1'], 'body'),
      'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: "one"\r\nX-A: 2\r\nContent-Length: 4\r\n\r\n',
    )
    await rig.get('/a')
    await rig.ask('HEAD', '/a')
    const hit = await rig.get('/a')
    expect(hit.body.text).toBe('body')
    expect(fieldIn(hit, 'x-a')).toBe('2')
    expect(seen).toHaveLength(2)
  })

  test('that differs makes the stored GET stale', async () => {
    const rig = await startRig()
    const seen = inTurn(
      rig.legacy,
      reply(200, ['Cache-Control: max-age=60', 'ETag: "one"'], 'body'),
      'HTTP/1.1 200 OK\r\nETag: "two"\r\nContent-Length: 4\r\n\r\n',
      reply(200, ['ETag: "two"'], 'newer'),
    )
    await rig.get('/a')
    await rig.ask('HEAD', '/a', 'Cache-Control: no-cache')
    expect((await rig.get('/a')).body.text).toBe('newer')
    expect(seen[2]!.field('if-none-match')).toBe('"one"')
  })
})

describe('the request decides', () => {
  test('no-cache validates, only-if-cached takes what is there, or 504', async () => {
    const rig = await startRig()
    const seen = inTurn(
      rig.legacy,
      reply(200, ['Cache-Control: max-age=60', 'ETag: "one"'], 'body'),
      reply(304, ['ETag: "one"']),
    )
    const nothing = await rig.get('/a', 'Cache-Control: only-if-cached')
    expect(nothing.status).toBe(504)
    expect(seen).toHaveLength(0)
    await rig.get('/a')
    expect((await rig.get('/a', 'Cache-Control: only-if-cached')).body.text).toBe('body')
    expect(seen).toHaveLength(1)
    const checked = await rig.get('/a', 'Cache-Control: no-cache')
    expect(checked.body.text).toBe('body')
    expect(statusOf(checked)).toContain('fwd=request;fwd-status=304')
    expect((await rig.get('/a', 'Pragma: no-cache')).body.text).toBe('body')
    expect(seen).toHaveLength(3)
  })

  test('no-store is not stored', async () => {
    const rig = await startRig()
    always(rig.legacy, 200, ['Cache-Control: max-age=60'])
    await rig.get('/a', 'Cache-Control: no-store')
    expect((await rig.get('/a')).body.text).toBe('body 2')
  })

  test('max-stale takes a stale answer', async () => {
    const rig = await startRig()
    always(rig.legacy, 200, ['Cache-Control: max-age=5', 'Age: 10', 'ETag: "one"'])
    await rig.get('/a')
    expect(statusOf(await rig.get('/a', 'Cache-Control: max-stale=60'))).toMatch(/^banyan;hit;ttl=-/)
    expect(rig.legacy.requests).toBe(1)
  })
})

describe('absolute form', () => {
  test('lies where origin form lies, and is routed by its path', async () => {
    const rig = await startRig({
      routes: ['- { id: page, match: { hosts: [shop.test], path: /page }, to: modern, percent: 100, cache: {} }'],
    })
    always(rig.modern, 200, ['Cache-Control: max-age=60'])
    const first = await rig.get('http://shop.test/page')
    expect(first.body.text).toBe('body 1')
    expect((await rig.get('/page')).body.text).toBe('body 1')
    // Host goes on as it came, whatever the target says.
    expect((await rig.get('http://SHOP.test:80/page')).body.text).toBe('body 1')
    expect(rig.modern.requests).toBe(1)
  })
})
