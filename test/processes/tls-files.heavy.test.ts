/**
 * TLS files with workers: all of them, those that come later, and the health checks go by one reading of the files.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { type Made, selfSigned } from '../support/certificates.ts'
import { banyanWith, get, workersBecome, workersOf } from './rig.ts'

const folder = mkdtempSync(join(tmpdir(), 'banyan-tls-files-'))
const file = (name: string): string => join(folder, name)
const [up, stranger, first, second] = [
  selfSigned('up.test', 'IP:127.0.0.1'),
  selfSigned('stranger', 'IP:127.0.0.1'),
  selfSigned('first', null),
  selfSigned('second', null),
]
/** Answers with the name in the client's certificate. */
const upstream: Server = createServer({ ...up, requestCert: true, rejectUnauthorized: false }, (req, res) => {
  res.end((req.socket as TLSSocket).getPeerCertificate().subject?.CN ?? 'nobody')
})
beforeAll(async () => {
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
})
afterAll(() => {
  upstream.close()
  upstream.closeAllConnections()
  rmSync(folder, { recursive: true })
})

/** As tools that renew certificates do it. */
function write(name: string, text: string): void {
  writeFileSync(file(`${name}.new`), text)
  renameSync(file(`${name}.new`), file(name))
}

function client({ cert, key }: Made): void {
  write('cert', cert)
  write('key', key)
}

const table = (): string => `version: 1
upstreams:
  main:
    servers: ["https://127.0.0.1:${(upstream.address() as AddressInfo).port}"]
    tls: { ca: ${file('ca')}, cert: ${file('cert')}, key: ${file('key')} }
    health: { path: /, every: 50ms }
default: main
`

/** What each worker answers: many connections, so that each has some. */
async function answers(banyan: Banyan): Promise<string[]> {
  const agent = new Agent({ keepAlive: false })
  const all = await Promise.all(Array.from({ length: 8 }, () => get(banyan.port, '/', agent)))
  return [...new Set(all.map(({ status, text }) => (status === 200 ? text : String(status))))]
}

/** Nothing tells the test when the files are in force in all workers but their answers. */
async function become(banyan: Banyan, wanted: string): Promise<void> {
  while ((await answers(banyan)).join() !== wanted) await new Promise((done) => setTimeout(done, 50))
}

const told = (banyan: Banyan, what: string): Promise<string> =>
  banyan.program.line((line) => line.includes('"event":"tls-files"') && line.includes(what))

test.each([0, 2])('%i workers: renewed, withdrawn, spoilt and removed files', async (workers) => {
  write('ca', up.cert)
  client(first)
  const banyan = await banyanWith(workers, { table: table() })
  expect(await answers(banyan)).toEqual(['first'])
  client(second)
  await become(banyan, 'second')
  // Trust is withdrawn: no connection that stands is used any more, for requests or for probes.
  write('ca', stranger.cert)
  await become(banyan, '502')
  await banyan.program.line((line) => line.includes('"event":"health"') && line.includes('"healthy":false'))
  write('ca', up.cert)
  await become(banyan, 'second')
  // A renewal half way: the key is not yet that of the certificate.
  write('cert', first.cert)
  await told(banyan, 'the private key does not match the certificate; using its previous content')
  expect(await answers(banyan)).toEqual(['second'])
  write('key', first.key)
  await become(banyan, 'first')
  rmSync(file('key'))
  execFileSync('mkfifo', [file('key')])
  rmSync(file('ca'))
  await told(banyan, 'is not a regular file; using its previous content')
  await told(banyan, 'no such file; using its previous content')
  expect(await answers(banyan)).toEqual(['first'])
  expect((await api(banyan, '/readyz')).reasons.join()).toContain('TLS files')
  if (workers > 0) {
    const pid = (await workersOf(banyan))[0]?.pid as number
    process.kill(pid, 'SIGKILL')
    await workersBecome(banyan, (all) => all.every((one) => one.state === 'up' && one.pid !== pid))
    expect(await answers(banyan)).toEqual(['first'])
  }
  // A server that comes later goes by the same files.
  const lease = await fetch(`http://127.0.0.1:${banyan.adminPort}/upstreams/main/servers/late`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: `https://localhost:${(upstream.address() as AddressInfo).port}`, ttl: '1m' }),
  })
  expect(lease.status).toBe(201)
  expect(await answers(banyan)).toContain('first')
  rmSync(file('key'))
})

async function api(banyan: Banyan, path: string): Promise<{ readonly reasons: string[] }> {
  return (await fetch(`http://127.0.0.1:${banyan.adminPort}${path}`)).json() as Promise<{ reasons: string[] }>
}
