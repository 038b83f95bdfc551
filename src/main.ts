/**
 * The entry point: runs the command line.
 */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { ignoreSignals } from './processes/signals.ts'

ignoreSignals(process.argv[2])
// As bin/compile-cache.js does, for whoever starts this file alone: an image has no bin/.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/compile', import.meta.url)))
// An import of node:http reads all its exports, and these load undici: 45 ms of CPU at each start. Middleware has them as globals.
const http: Partial<typeof import('node:http')> = process.getBuiltinModule('node:http')
for (const name of ['WebSocket', 'CloseEvent', 'MessageEvent'] as const) delete http[name]
const [{ main }, { exitNow }] = await Promise.all([import('./command-line.ts'), import('./exit.ts')])
// A proxy that is killed would keep nothing of what it has compiled (bin/compile-cache.js).
setTimeout(flushCompileCache, 2000).unref()

// Not just process.exitCode: a closing upstream socket must not keep a drained proxy alive.
exitNow(await main(process.argv.slice(2)))
