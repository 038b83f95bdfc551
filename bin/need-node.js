/**
 * Says in one line where Node is too old, and ends. Plain JavaScript, imported before anything that an old Node can't read.
 *
 * A checkout runs its TypeScript sources, which takes type stripping; the package runs what was built of them.
 */
import { existsSync, readFileSync } from 'node:fs'

/** The first Node that strips types without a flag. */
const STRIPS_TYPES = '22.18'

/** Whether this is a checkout of the project; the package has no sources. */
export const isCheckout = existsSync(new URL('../src/main.ts', import.meta.url))

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const needed = isCheckout ? STRIPS_TYPES : /^>=(\d+\.\d+)/.exec(manifest.engines.node)[1]
const [major, minor] = process.versions.node.split('.').map(Number)
const [neededMajor, neededMinor] = needed.split('.').map(Number)

if (major < neededMajor || (major === neededMajor && minor < neededMinor)) {
  const advice = isCheckout
    ? `cannot run the TypeScript sources. Run 'npm ci' without --ignore-scripts (it brings Node 26 as node_modules/.bin/node) and start with 'npm start', or use Node >= ${needed}.`
    : `is too old: ${manifest.name} ${manifest.version} needs Node >= ${needed}.`
  console.error(`banyan: Node ${process.versions.node} ${advice}`)
  process.exit(1)
}
