/**
 * Our request reader against node's own server: random and changed requests, split anywhere.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type NodeServer, startNodeServer } from './node-server.ts'
import { compareWithNode, LAXER, STRICTER } from './request-differential.ts'
import { readRequestText } from './request-reader.ts'

/** Conversations. `BANYAN_FUZZ_RUNS` and `BANYAN_FUZZ_SEED` set others. */
const RUNS = Number(process.env.BANYAN_FUZZ_RUNS ?? 4000)
const SEED = Number(process.env.BANYAN_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 30))

describe(`our reader and node read the same requests (seed ${SEED})`, () => {
  test(`in ${RUNS} random conversations`, { timeout: 300_000 + RUNS * 10 }, async () => {
    const tally = await compareWithNode(SEED, RUNS)
    console.log(`${RUNS} conversations compared with node: ${JSON.stringify(tally)}`)
    // All kinds must be there in numbers, or the comparison says little.
    expect(tally.agreed).toBeGreaterThan(RUNS / 3)
    expect(tally.refused).toBeGreaterThan(RUNS / 20)
    expect(Math.min(tally.stricter, tally.laxer)).toBeGreaterThan(RUNS / 100)
  })
})

describe('each named difference is real', () => {
  let node: NodeServer
  beforeAll(async () => {
    node = await startNodeServer()
  })
  afterAll(() => node.close())

  const chunked = (body: string): string => `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${body}`

  test.each([
    ['GET / HTTP/0.9\r\n\r\n', 0],
    ['GET /\n\r\n', 1],
    ['GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 2],
    ['GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 3],
    ['GET / HTTP/1.1\r\nContent-Length: 0000000000000001\r\n\r\na', 4],
    [chunked('1;a=\r\na\r\n0\r\n\r\n'), 5],
    [chunked('1;=a\r\na\r\n0\r\n\r\n'), 5],
    [chunked('1;a=b"c"\r\na\r\n0\r\n\r\n'), 5],
    ['\nGET / HTTP/1.1\r\n\r\n', 6],
    ['\rGET / HTTP/1.1\r\n\r\n', 6],
  ])('stricter: %j', async (text, index) => {
    const { complaint, only } = STRICTER[index] as (typeof STRICTER)[number]
    expect(readRequestText(text).problem).toMatch(complaint)
    expect(only?.(text) ?? true).toBe(true)
    expect((await node.read(text)).requests).toMatchObject([{ complete: true }])
  })

  test.each([
    ['LIST / HTTP/1.1\r\n\r\n', 0],
    ['GET /\xff HTTP/1.1\r\n\r\n', 1],
    ['GET a HTTP/1.1\r\n\r\n', 2],
    ['GET / HTTP/1.1\r\nProxy-Connection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n', 3],
    [`${chunked('0\r\nConnection: close\r\n\r\n')}GET / HTTP/1.1\r\n\r\n`, 3],
  ])('laxer: %j', async (text, index) => {
    const { complaint, only } = LAXER[index] as (typeof LAXER)[number]
    const { requests, fault } = readRequestText(text)
    expect(fault).toBeNull()
    expect(only(text, requests.at(-1)!)).toBe(true)
    expect((await node.read(text)).problem ?? 'nothing').toMatch(complaint)
  })

  test('an upgrade in HTTP/1.0 is one to node, and none here', async () => {
    const text = 'GET / HTTP/1.0\r\nConnection: keep-alive, Upgrade\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\r\n\r\n'
    expect(readRequestText(text).requests).toHaveLength(2)
    expect((await node.read(text)).rest).toBe('GET / HTTP/1.1\r\n\r\n')
  })

  test('close and keep-alive in HTTP/1.0 keep the connection at node, and end it here', async () => {
    const text = 'GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\n\r\n'
    expect(readRequestText(text).requests).toHaveLength(1)
    expect((await node.read(text)).requests).toHaveLength(2)
  })
})
