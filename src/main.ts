/**
 * The entry point: runs the command line.
 */
import { flushCompileCache } from 'node:module'
import { ignoreSignals } from './processes/signals.ts'

ignoreSignals(process.argv[2])
// For whoever starts this file and none of bin/.
await import(new URL('../bin/compile-cache.js', import.meta.url).href)
// An import of node:http reads all its exports, and these load undici: 45 ms of CPU at each start. Middleware has them as globals.
const http: Partial<typeof import('node:http')> = process.getBuiltinModule('node:http')
for (const name of ['WebSocket', 'CloseEvent', 'MessageEvent'] as const) delete http[name]
const [{ main }, { exitNow }] = await Promise.all([import('./command-line.ts'), import('./exit.ts')])
// A proxy that is killed would keep nothing of what it has compiled (bin/compile-cache.js).
setTimeout(flushCompileCache, 2000).unref()

// Not just process.exitCode: a closing upstream socket must not keep a drained proxy alive.
exitNow(await main(process.argv.slice(2)))
