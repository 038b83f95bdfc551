/**
 * banyan itself, as it is started in production with everything in one process.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EARLIER, earlierProgram, hasEarlier } from '../harness/earlier.ts'
import type { Running } from '../harness/stage.ts'
import type { Contestant, Setup } from './contestant.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/banyan.js', import.meta.url))

export const banyan: Contestant = {
  name: 'banyan',
  about: 'banyan serve --workers 0',
  upgrades: true,
  fromPeers: false,
  start: (setup) => startBanyan('banyan', PROGRAM, setup),
}

/** banyan as it was: the ratio to trust on a busy machine, since both spend their time alike. */
export const earlierBanyan: Contestant = {
  name: `banyan-${EARLIER}`,
  about: `the same at commit ${EARLIER}, out of git`,
  upgrades: true,
  fromPeers: false,
  whyNot: () => (hasEarlier() ? null : `this clone has no commit ${EARLIER}`),
  start: (setup) => startBanyan(`banyan-${EARLIER}`, earlierProgram(), setup),
}

async function startBanyan(name: string, program: string, setup: Setup): Promise<Running> {
  const { stage, port, upstreamPort, accessLog, routes, shadow, nodeFlags } = setup
  const folder = stage.newFolder(name)
  const table = join(folder, 'routes.yaml')
  writeFileSync(table, tableText(upstreamPort, routes, shadow))
  return await stage.start({
    name,
    core: 'proxy',
    command: [
      ...[process.execPath, ...nodeFlags, program, 'serve', '--table', table],
      ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${await stage.freePort()}`],
      ...['--workers', '0', '--access-log', accessLog ?? 'none'],
    ] as [string, ...string[]],
    ready: { line: 'banyan ready' },
  })
}

/**
 * A table whose first route claims the lookups that are measured and shares them between two upstreams, both the same
 * server; the other routes are there to be passed over: half of them beside the first, half on paths of their own.
 */
export function tableText(upstreamPort: number, routes: number, shadow = 0): string {
  const copies = shadow === 0 ? '' : `, shadow: { percent: ${shadow}, sides: both }`
  const lines = [
    'version: 1',
    'upstreams:',
    '  legacy:',
    `    servers: [http://127.0.0.1:${upstreamPort}]`,
    '  gtin:',
    `    servers: [http://127.0.0.1:${upstreamPort}]`,
    'default: legacy',
    'routes:',
    `  - { id: gtin-lookup, match: { path: /stores/:storeId/gtins/:gtin, methods: [GET, HEAD] }, to: gtin, percent: 50${copies} }`,
  ]
  for (let i = 1; i < routes; i++) {
    const path = i % 2 === 0 ? `/stores/:storeId/part-${i}` : `/service-${i}/items/:item`
    lines.push(`  - { id: route-${i}, match: { path: '${path}' }, to: gtin, percent: 50 }`)
  }
  return `${lines.join('\n')}\n`
}
