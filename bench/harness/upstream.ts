/**
 * The two upstreams behind every contestant, both on the core of the load: nginx for answers that cost it next to
 * nothing, and a Node program for what nginx cannot do (read bodies, echo WebSocket messages, stream without end).
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nginxFrame, startNginx } from './nginx.ts'
import type { Running, Stage } from './stage.ts'

/** The path of the small answer: a GTIN lookup, 240 bytes of JSON. */
export const LOOKUP = '/stores/3/gtins/123456789012'
/** The path of the 100 KiB answer. */
export const REPORT = '/stores/3/report'

const LOOKUP_BYTES = 240
const REPORT_BYTES = 100 * 1024

/** An upstream that runs. */
export interface Upstream {
  readonly port: number
  readonly running: Running
}

/** nginx with the small answer and the 100 KiB answer. */
export async function startQuickUpstream(stage: Stage): Promise<Upstream> {
  const port = await stage.freePort()
  const folder = stage.newFolder('upstream')
  writeFileSync(join(folder, 'report'), 'banyan '.repeat(REPORT_BYTES).slice(0, REPORT_BYTES))
  const config = nginxFrame(
    folder,
    `
    access_log off;
    sendfile on;
    open_file_cache max=16;
    server {
      listen 127.0.0.1:${port};
      location = ${LOOKUP} {
        default_type application/json;
        return 200 '${lookupAnswer()}';
      }
      location = ${REPORT} {
        alias ${folder}/report;
      }
    }`,
  )
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, config)
  return { port, running: await startNginx(stage, 'upstream', 'load', { folder, file, port }) }
}

/** The Node upstream of load/upstream.ts, on a port of its choice or a given one. */
export async function startNodeUpstream(stage: Stage, fixedPort?: number): Promise<Upstream> {
  const port = fixedPort ?? (await stage.freePort())
  const program = fileURLToPath(new URL('../load/upstream.ts', import.meta.url))
  const running = await stage.start({
    name: 'node upstream',
    core: 'load',
    command: [process.execPath, program, String(port)],
    ready: { port },
  })
  return { port, running }
}

function lookupAnswer(): string {
  const product = {
    gtin: '123456789012',
    sku: '1234567890',
    description: 'A warm fuzzy sweater.',
    color: 'FUSCHIA SA',
    supplierName: 'iSWEATR',
    storeDetail: [{ storeNumber: '3', price: { regularRetail: '120.00', specialRetail: '15.00' } }],
    note: '',
  }
  const note = 'x'.repeat(LOOKUP_BYTES - JSON.stringify(product).length)
  return JSON.stringify({ ...product, note })
}
