/**
 * A folder that can't be made, where node's own way to make it never returns: the proxy starts, serves, and says so.
 */
import { afterEach, expect, test } from 'vitest'
import { startBanyan } from '../support/banyan.ts'
import { scriptedUpstream } from '../support/upstream.ts'

const left: (() => unknown)[] = []

afterEach(async () => {
  for (const end of left.splice(0).reverse()) await end()
})

test('a state folder below /proc is said to be unusable', async () => {
  const upstream = await scriptedUpstream((request) => request.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  left.push(() => upstream.stop())
  const table = `version: 1\nupstreams: { legacy: { servers: ["http://127.0.0.1:${upstream.port}"] } }\ndefault: legacy\n`
  const banyan = await startBanyan({ table, args: ['--state', '/proc/banyan/state'], complains: true })
  left.push(() => banyan.stop())
  expect(await (await fetch(`http://127.0.0.1:${banyan.port}/`)).text()).toBe('ok')
  const { reasons } = (await (await fetch(`http://127.0.0.1:${banyan.adminPort}/readyz`)).json()) as {
    reasons: string[]
  }
  expect(reasons.join()).toContain('/proc/banyan')
})
