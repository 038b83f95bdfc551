/**
 * Pebble, the ACME test server of Let's Encrypt, with a name server that leads every name of the test to loopback.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../../scripts/need-tools.ts'
import { selfSigned } from './certificates.ts'
import { nameServer } from './dns.ts'
import { freePort } from './free-port.ts'
import { Program } from './process.ts'

/** What it is to do. */
export interface PebbleOptions {
  /** Names that lead to 127.0.0.1. */
  readonly names: readonly string[]
  /** Where it looks for http-01 and tls-alpn-01. */
  readonly httpPort: number
  readonly tlsPort: number
  /** Life of its certificates, seconds. Default: 90 days. */
  readonly lifeS?: number
  /** Accounts need this external account binding: HMAC keys in Base64url by their ids. */
  readonly eab?: Readonly<Record<string, string>>
  /** Where it listens, for one that comes back. */
  readonly port?: number
  readonly env?: Readonly<Record<string, string>>
}

/** A server that runs. */
export interface Pebble {
  readonly port: number
  readonly directory: string
  /** A file with the authority of its own https, for NODE_EXTRA_CA_CERTS. */
  readonly trust: string
  /** The authority of the certificates that it issues, in PEM. */
  root(): Promise<string>
  /** Orders that it took; one whose nonce it refused comes again and is none. */
  orders(): number
  readonly program: Program
  stop(): Promise<void>
}

/** The certificate of all Pebbles' own https, so that one that is started anew is trusted too. */
const own = selfSigned('localhost', 'DNS:localhost,IP:127.0.0.1')

/** Starts it. */
export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const program = findProgram('pebble')
  if (program === null) throw new Error('pebble is missing: node scripts/need-tools.ts test installs it')
  const { names, httpPort, tlsPort, lifeS, eab, env = {} } = options
  const folder = mkdtempSync(join(tmpdir(), 'banyan-pebble-'))
  const [config, cert, key] = ['config.json', 'cert.pem', 'key.pem'].map((file) => join(folder, file)) as [
    string,
    string,
    string,
  ]
  const [port, managementPort] = [options.port ?? (await freePort()), await freePort()]
  writeFileSync(cert, own.cert)
  writeFileSync(key, own.key)
  const pebble = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${managementPort}`,
    certificate: cert,
    privateKey: key,
    ...{ httpPort, tlsPort, ocspResponderURL: '' },
    ...(eab !== undefined && { externalAccountBindingRequired: true, externalAccountMACKeys: eab }),
    ...(lifeS !== undefined && { certificateValidityPeriod: lifeS }),
  }
  writeFileSync(config, JSON.stringify({ pebble }))
  const dns = await nameServer(1)
  dns.zone = new Map(names.map((name) => [name, ['127.0.0.1']]))
  const child = spawn(program, ['-config', config, '-dnsserver', dns.address], {
    // Validations at once; one of twenty nonces is refused, as it is by default.
    env: { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_AUTHZREUSE: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const running = new Program(child)
  await running.line((line) => line.includes('ACME directory available'))
  let isStopped = false
  return {
    port,
    directory: `https://127.0.0.1:${port}/dir`,
    trust: cert,
    program: running,
    orders: () => running.log.filter((line) => line.includes('Added order')).length,
    root: () => textOf(`https://127.0.0.1:${managementPort}/roots/0`),
    stop: async () => {
      if (isStopped) return
      isStopped = true
      await running.kill()
      dns.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function textOf(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { ca: own.cert, agent: false }, (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      res.on('end', () => resolve(text))
    }).on('error', reject)
  })
}
