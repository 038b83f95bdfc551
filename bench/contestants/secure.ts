/**
 * banyan and nginx with TLS to their clients: TLS 1.2 and 1.3, an ECDSA certificate, and by ALPN HTTP/2 or HTTP/1.1.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Bench } from '../harness/contest.ts'
import { nginxFrame, startNginx } from '../harness/nginx.ts'
import type { Entrant } from '../harness/rounds.ts'
import type { Running, Stage } from '../harness/stage.ts'
import { startQuickUpstream } from '../harness/upstream.ts'
import { tableText } from './banyan.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/banyan.js', import.meta.url))

/** banyan and nginx, as far as they are asked for, in front of one upstream that they speak HTTP/1.1 to. */
export async function bringUpSecure(bench: Bench): Promise<{ entrants: Entrant[]; stop(): Promise<void> }> {
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
  return await startSecureBanyan(stage, { port: await stage.freePort(), tlsPort: port, upstream }, banyanFlags, pair)
}

/** Starts banyan with one port for clients without TLS and one for those with it. */
export async function startSecureBanyan(
  stage: Stage,
  { port, tlsPort, upstream }: { readonly port: number; readonly tlsPort: number; readonly upstream: number },
  nodeFlags: readonly string[],
  pair: Pair = makePair(stage.newFolder('certificate')),
): Promise<Running> {
  const table = join(stage.newFolder('tls'), 'routes.yaml')
  writeFileSync(table, tableText(upstream, 10))
  return await stage.start({
    name: 'banyan',
    core: 'proxy',
    command: [
      ...[process.execPath, ...nodeFlags, PROGRAM, 'serve', '--table', table],
      ...['--workers', '0', '--access-log', 'none'],
      ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${await stage.freePort()}`],
      ...['--tls', `127.0.0.1:${tlsPort}`, '--tls-cert', pair.cert, '--tls-key', pair.key],
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
        listen 127.0.0.1:${port} ssl http2;
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
