/**
 * An exception that nobody expected ends the exchange in which it was thrown, is logged with its stack, and ends nothing else.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'

/** Middleware at fault: what it does to the response makes the proxy's own callbacks throw, each at another moment. */
const MIDDLEWARE = `export default async (ctx, next) => {
  const fault = ctx.get('x-fault')
  const fail = () => { throw new Error('planted in ' + fault) }
  const { req, res } = ctx
  if (fault === 'head') Object.defineProperty(res, '_header', { get: fail, set: fail })
  if (fault === 'body') res.write = res.end = res.socket.write = fail
  if (fault === 'request-body') req.on('data', fail)
  if (fault === 'later') setTimeout(fail, 1)
  if (fault === 'promise') void Promise.reject(new Error('planted in promise'))
  await next()
}
`

let upstream: ScriptedUpstream
const folder = mkdtempSync(join(tmpdir(), 'banyan-exceptions-'))

beforeAll(async () => {
  writeFileSync(join(folder, 'fault.mjs'), MIDDLEWARE)
  upstream = await scriptedUpstream(async (request) => {
    // Of an exchange that ends half-way there is no whole body to be had.
    await request.body().then(
      () => request.ok(),
      () => {},
    )
  })
})
afterAll(async () => {
  await upstream.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe.each(['0', '2'])('with --workers %s', (workers) => {
  let banyan: Banyan
  beforeAll(async () => {
    const args = ['--middleware', join(folder, 'fault.mjs'), '--workers', workers]
    banyan = await startBanyan({ table: tableFor(upstream.port), args, complains: true })
  })
  afterAll(async () => {
    expect(await banyan.stop()).toBe(0)
  })

  test.each(['head', 'body', 'request-body', 'later', 'promise'])('thrown in: %s', async (fault) => {
    const other = await rawClient(banyan.port)
    const faulty = await rawClient(banyan.port)
    await faulty.send(`POST / HTTP/1.1\r\nHost: a\r\nX-Fault: ${fault}\r\nContent-Length: 4\r\n\r\nbody`)
    await banyan.program.line(
      (line) => line.includes(`planted in ${fault}`) && /"event":"(?:exception|fault)"/.test(line),
    )
    expect((await other.ask('GET / HTTP/1.1\r\nHost: a\r\n\r\n')).status).toBe(200)
    const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
    expect(Number(/^banyan_exceptions_total ([0-9]+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0)
    expect(banyan.log.filter((line) => line.includes('worker-died'))).toEqual([])
  })
})
