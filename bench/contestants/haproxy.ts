/**
 * HAProxy: one thread, upstream connections shared and kept.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Contestant } from './contestant.ts'

export const haproxy: Contestant = {
  name: 'haproxy',
  about: "Debian's HAProxy, one thread, http-reuse always",
  upgrades: true,
  fromPeers: false,
  async start({ stage, port, upstreamPort }) {
    const file = join(stage.newFolder('haproxy'), 'haproxy.cfg')
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend in
  bind 127.0.0.1:${port}
  default_backend behind
backend behind
  http-reuse always
  server upstream 127.0.0.1:${upstreamPort}
`,
    )
    // -db: in the foreground, one process.
    return await stage.start({
      name: 'haproxy',
      core: 'proxy',
      command: ['haproxy', '-db', '-f', file],
      ready: { port },
    })
  },
}
