/**
 * Certificates of a cluster, ordered from Pebble: one instance orders, all answer the challenge and serve what comes, and the next one
 * orders when it is gone. What is in Redis nobody can read without the secret.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, connect as plainConnect } from 'node:net'
import { connect } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { freePort } from '../support/free-port.ts'
import { startPebble } from '../support/pebble.ts'
import { RedisServer } from '../support/redis.ts'
import { ask, clusterTable, folder, left, member, soon, undo } from './rig.ts'

afterEach(undo)

/** Renewed after two thirds of it. */
const LIFE_S = 24

/** Passes each connection on to a port that is chosen then. @returns its own port */
async function switchboard(portOf: () => number): Promise<number> {
  const server = createServer((near) => {
    const far = plainConnect(portOf(), '127.0.0.1')
    near.on('error', () => far.destroy()).pipe(far)
    far.on('error', () => near.destroy()).pipe(near)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  left.push(() => server.close())
  return (server.address() as AddressInfo).port
}

/** Fingerprint of the certificate that an instance serves; '' for none. */
function served({ tlsPort }: Banyan): Promise<string> {
  return new Promise((resolve) => {
    const options = { port: tlsPort as number, host: '127.0.0.1', servername: 'shop.test', rejectUnauthorized: false }
    const socket = connect(options, () => {
      resolve(socket.getPeerCertificate().fingerprint256)
      socket.destroy()
    })
    socket.on('error', () => resolve(''))
  })
}

const countOf = (log: readonly string[], text: string): number => log.filter((line) => line.includes(text)).length
const ISSUED = 'certificate for shop.test: valid until'
const ORDERS = 'are ordered by this process from now on'

test('one instance orders, the other answers and serves it too, and renews it when that one was killed', async () => {
  const redis = new RedisServer(await freePort(), [])
  left.push(() => redis.stop())
  const instances: Banyan[] = []
  const isOwner = ({ log }: Banyan): boolean => countOf(log, ORDERS) > 0
  /** Whoever does not order is asked by the authority. */
  const asked: Banyan[] = []
  const led = (portOf: (banyan: Banyan) => number | null) => (): number => {
    const one = instances.find((each) => !isOwner(each)) as Banyan
    asked.push(one)
    return portOf(one) as number
  }
  const pebble = await startPebble({
    ...{ names: ['shop.test'], lifeS: LIFE_S },
    httpPort: await switchboard(led(({ port }) => port)),
    tlsPort: await switchboard(led(({ tlsPort }) => tlsPort)),
  })
  left.push(() => pebble.stop())
  const table = await clusterTable()
  const states = [folder(), folder()] as const
  const start = async (at: 0 | 1): Promise<Banyan> => {
    const challenge = ['tls-alpn-01', 'http-01'][at] as string
    const acme = ['--acme', 'shop.test', '--acme-challenge', challenge, '--acme-directory', pebble.directory]
    const args = ['--tls', '127.0.0.1:0', '--cluster-secret', 'a secret of the test', ...acme]
    instances[at] = await member(table, redis.url, args, states[at], { NODE_EXTRA_CA_CERTS: pebble.trust })
    return instances[at]
  }

  // Without Redis both serve, and nobody orders.
  await Promise.all([start(0), start(1)])
  for (const one of instances) {
    await one.program.line((line) => line.includes('no certificates are ordered'))
    expect((await ask(one, 'GET', '/readyz')).json.reasons.join()).toContain('no certificates are ordered')
  }
  await redis.start()
  await soon(async () => expect(instances.filter((one) => countOf(one.log, ISSUED) > 0)).toHaveLength(1))
  const owner = instances.findIndex(isOwner) as 0 | 1
  const [killed, survivor] = [instances[owner] as Banyan, instances[1 - owner] as Banyan]
  await soon(async () => expect(countOf(killed.log, ISSUED)).toBe(pebble.orders()))
  expect(new Set(asked)).toEqual(new Set([survivor]))
  await soon(async () => {
    const [here, there] = await Promise.all(instances.map(served))
    expect(here).not.toBe('')
    expect(there).toBe(here)
  })
  // What Redis has is of no use without the secret.
  const kept = (): Promise<string> => redis.command('HGET', 'banyan:{shop}:records:acme', '4:acme13:shop.test.pem')
  expect(await kept()).toMatch(/^\$\d+\r\n\[1,/)
  expect(await kept()).not.toMatch(/PRIVATE KEY|CERTIFICATE/)

  // Whoever orders is killed, and comes back with what is on its disk. Until then the authority stands still.
  pebble.program.child.kill('SIGSTOP')
  left.push(() => pebble.program.child.kill('SIGCONT'))
  await killed.program.kill()
  await survivor.program.line((line) => line.includes(ORDERS))
  const first = await served(survivor)
  const back = await start(owner)
  expect(await served(back)).toBe(first)
  asked.length = 0
  pebble.program.child.kill('SIGCONT')
  await survivor.program.line((line) => line.includes(ISSUED))
  expect(new Set(asked)).toEqual(new Set([back]))
  await soon(async () => {
    expect(await served(survivor)).not.toBe(first)
    expect(await served(back)).toBe(await served(survivor))
  })
  const all = (): string[] => [...killed.log, ...survivor.log, ...back.log]
  // Nothing is ordered twice: one order may have been under way when its process was killed, and the next one may be now.
  await soon(async () => expect(pebble.orders() - countOf(all(), ISSUED)).toBeLessThanOrEqual(1))
  expect(all().filter((line) => line.includes('"event":"acme"') && line.includes('"level":50'))).toEqual([])

  // Redis is gone: what is in use stays in use, and that is said.
  const last = await served(back)
  await redis.kill()
  await soon(async () => {
    expect((await ask(back, 'GET', '/readyz')).json.reasons.join()).toContain('those in use stay in use')
  })
  expect(await served(back)).toBe(last)
  // It comes back empty: whoever orders fills it again.
  await redis.start()
  await soon(async () => expect(await kept()).toMatch(/^\$\d+\r\n\[1,/))
})
