/**
 * TLS to clients, banyan beside nginx: what a request costs on a connection that stands, and how many handshakes fit into a second.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tableText } from '../contestants/banyan.ts'
import { type Bench, columnsFor, cpuBudget, rowsOf, timingOf } from '../harness/contest.ts'
import { nginxFrame, startNginx } from '../harness/nginx.ts'
import { type Entrant, interleave, type Measured } from '../harness/rounds.ts'
import type { Running } from '../harness/stage.ts'
import { LOOKUP, startQuickUpstream } from '../harness/upstream.ts'
import { runWrk } from '../harness/wrk.ts'
import type { Scenario } from './scenario.ts'

const PROGRAM = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

const FORWARD = { path: LOOKUP, method: 'GET', bodyBytes: 0, connections: 32, tls: true } as const

/** CPU time of a request against nginx doing the same. */
const FORWARD_LIMIT = 1.5

export const tls: Scenario = {
  name: 'tls',
  about:
    'GET of 240 bytes of JSON over 32 kept-alive connections with TLS 1.3, an ECDSA certificate, banyan beside nginx',
  standard: true,
  async run(bench) {
    const { entrants, stop } = await bringUp(bench)
    const load = (entrant: Entrant, seconds: number): Promise<Measured> =>
      runWrk(bench.stage, entrant.port, FORWARD, seconds)
    const series = await interleave(entrants, timingOf(bench), load)
    await stop()
    return {
      scenario: tls.name,
      about: tls.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets: cpuBudget(series, 'banyan', 'nginx', FORWARD_LIMIT),
      notes: [],
      failures: series.flatMap(({ failures }) => failures),
    }
  },
}

export const handshakes: Scenario = {
  name: 'handshakes',
  about: 'TLS 1.2 handshakes one after the other, full and resumed by ticket, an ECDSA certificate (openssl s_time)',
  standard: true,
  async run(bench) {
    const { entrants, stop } = await bringUp(bench)
    const series = []
    for (const kind of ['new', 'reuse'] as const) {
      const load = (entrant: Entrant, seconds: number): Promise<Measured> => shake(bench, entrant.port, kind, seconds)
      const measured = await interleave(entrants, timingOf(bench), load)
      const word = kind === 'new' ? 'full' : 'resumed'
      series.push(...measured.map((each) => ({ ...each, label: `${each.label}, ${word}` })))
    }
    await stop()
    return {
      scenario: handshakes.name,
      about: handshakes.about,
      columns: columnsFor('handshake').filter(({ key }) => key !== 'p50' && key !== 'p99'),
      rows: rowsOf(series),
      budgets: [],
      notes: [
        'One client, which waits for each: the rate tells the time that a handshake takes, the CPU time what it costs.',
      ],
      failures: series.flatMap(({ failures }) => failures),
    }
  },
}

/** Handshakes for some seconds, as openssl counts them. */
async function shake(bench: Bench, port: number, kind: 'new' | 'reuse', seconds: number): Promise<Measured> {
  const to = ['-connect', `127.0.0.1:${port}`, '-tls1_2', `-${kind}`, '-time', String(seconds)]
  const printed = await bench.stage.run('openssl', 'load', ['openssl', 's_time', ...to])
  // "1234 connections in 4 real seconds, 0 bytes read per connection", for the first one that `-reuse` resumes and for all.
  const found = [...printed.matchAll(/^([0-9]+) connections in ([0-9]+) real seconds/gm)].at(-1)
  const units = Number(found?.[1] ?? 0)
  const errors = units === 0 ? { connect: 1 } : {}
  return { units, perSecond: units / Math.max(Number(found?.[2] ?? 1), 1), p50Micros: 0, p99Micros: 0, errors }
}

/** banyan and nginx, as far as they are asked for, in front of one upstream. */
async function bringUp(bench: Bench): Promise<{ entrants: Entrant[]; stop(): Promise<void> }> {
  const { stage } = bench
  const behind = await startQuickUpstream(stage)
  const pair = makePair(stage.newFolder('certificate'))
  const running: Running[] = [behind.running]
  const entrants: Entrant[] = []
  for (const { name } of bench.contestants.filter(({ name: one }) => one === 'banyan' || one === 'nginx')) {
    bench.progress(`starting ${name}`)
    const port = await stage.freePort()
    const started = await (name === 'banyan' ? startBanyan : startNginxTls)(bench, port, behind.port, pair)
    running.push(started)
    entrants.push({ label: name, port, pid: started.pid })
  }
  return { entrants, stop: async () => void (await Promise.all(running.map((one) => one.stop()))) }
}

interface Pair {
  readonly cert: string
  readonly key: string
}

function makePair(folder: string): Pair {
  const pair = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', ...kind, ...names, '-keyout', pair.key, '-out', pair.cert], { stdio: 'ignore' })
  return pair
}

async function startBanyan(
  { stage, banyanFlags }: Bench,
  port: number,
  upstream: number,
  pair: Pair,
): Promise<Running> {
  const table = join(stage.newFolder('tls'), 'routes.yaml')
  writeFileSync(table, tableText(upstream, 10))
  const plain = await stage.freePort()
  return await stage.start({
    name: 'banyan',
    core: 'proxy',
    command: [
      ...[
        process.execPath,
        ...banyanFlags,
        PROGRAM,
        'serve',
        '--table',
        table,
        '--workers',
        '0',
        '--access-log',
        'none',
      ],
      ...['--listen', `127.0.0.1:${plain}`, '--admin', `127.0.0.1:${await stage.freePort()}`],
      ...['--tls', `127.0.0.1:${port}`, '--tls-cert', pair.cert, '--tls-key', pair.key],
    ] as [string, ...string[]],
    ready: { line: 'banyan ready' },
  })
}

async function startNginxTls({ stage }: Bench, port: number, upstream: number, pair: Pair): Promise<Running> {
  const folder = stage.newFolder('nginx-tls')
  const config = nginxFrame(
    folder,
    `
      access_log off;
      upstream behind {
        server 127.0.0.1:${upstream};
        keepalive 256;
        keepalive_requests 1000000000;
      }
      server {
        listen 127.0.0.1:${port} ssl;
        ssl_certificate ${pair.cert};
        ssl_certificate_key ${pair.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets on;
        proxy_http_version 1.1;
        location / {
          proxy_set_header Connection "";
          proxy_pass http://behind;
        }
      }`,
  )
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, config)
  return await startNginx(stage, 'nginx', 'proxy', { folder, file, port })
}
