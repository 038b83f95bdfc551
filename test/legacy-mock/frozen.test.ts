/**
 * Every endpoint answers as its kind says; with the clock frozen, and whatever the latency, the same request gets the same bytes.
 */
import { describe, expect, test } from 'vitest'
import { ENDPOINTS, type Endpoint } from '../../legacy-mock/endpoints.ts'
import { answerOf, exchange, requestOf, serve, wire } from './raw.ts'

const ofKind = (...kinds: Endpoint['kind'][]) => ENDPOINTS.filter(({ kind }) => kinds.includes(kind))

describe('complete answers', () => {
  test.each(ofKind('whole', 'interim', 'until-close'))('$name: $method $path', async (endpoint) => {
    const first = await serve()
    const second = await serve({ latencyMedianMs: 2, seed: 1 })
    const bytes = await exchange(first.port, requestOf(endpoint))
    expect(await exchange(second.port, requestOf(endpoint))).toBe(bytes)
    const answer = answerOf(bytes)
    expect(answer.status === 500).toBe(endpoint.name === 'SOAP fault')
    expect(answer.interim.length > 0).toBe(endpoint.kind === 'interim')
    const lengthless = endpoint.method === 'HEAD' || answer.status === 304
    if (!lengthless) expect(answer.complete).toBe(true)
    if (endpoint.kind === 'until-close') {
      expect(answer.fields.map(([name]) => name.toLowerCase())).not.toContain('content-length')
      expect(answer.body).toContain('d\xe9j\xe0 vu')
    }
  })
})

describe('streams', () => {
  test.each(ofKind('stream'))('$name: $path', async (endpoint) => {
    const { port } = await serve()
    const first = answerOf(await exchange(port, requestOf(endpoint)))
    const second = answerOf(await exchange(port, requestOf(endpoint)))
    expect(first).toEqual(second)
    expect(first.status).toBe(200)
    expect(first.complete).toBe(true)
    expect(first.body.length).toBeGreaterThan(0)
  })
})

describe('the others', () => {
  test.each(ofKind('broken'))('$name: $path', async (endpoint) => {
    const { port } = await serve()
    const bytes = await exchange(port, requestOf(endpoint))
    const complete = /^HTTP\/1\.1 /.test(bytes) && answerOf(bytes).complete
    expect(complete).toBe(false)
  })

  test.each(ofKind('silent'))('$name: $path stays open until the client leaves', async (endpoint) => {
    const { port } = await serve()
    const { socket, until, text } = wire(port, requestOf(endpoint))
    if (endpoint.path.includes('body')) expect(answerOf(await until(/half of the answer \n/)).complete).toBe(false)
    // Another exchange begins and ends meanwhile.
    await exchange(port, requestOf(ENDPOINTS.find(({ name }) => name === 'status') as Endpoint))
    expect(socket.destroyed).toBe(false)
    if (!endpoint.path.includes('body')) expect(text()).toBe('')
  })

  test.each(ofKind('endless'))('$name: $path', async (endpoint) => {
    const { port } = await serve()
    const text = await wire(port, requestOf(endpoint)).until(/id: 3\n/)
    expect(text).toContain('Content-Type: text/event-stream')
  })

  test.each(ofKind('upgrade'))('$name: $path', async (endpoint) => {
    const { port } = await serve()
    const text = await wire(port, requestOf(endpoint)).until(/"type":"change".*"type":"change"/s)
    expect(text).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  })
})
