/**
 * Runs the behaviours against each proxy and prints what was seen as a Markdown table: `node test/peers/main.ts`.
 */
import { BEHAVIOURS } from './behaviours.ts'
import { PROXIES, type ProxyKind } from './proxies.ts'
import { RawUpstream } from './raw-upstream.ts'

/** What was seen of each behaviour, in the order of `BEHAVIOURS`. */
export async function watchAll(kind: ProxyKind): Promise<string[]> {
  const upstream = new RawUpstream()
  const proxy = await kind.start(await upstream.listen())
  const seen: string[] = []
  for (const behaviour of BEHAVIOURS) seen.push(await behaviour.watch(proxy.port, upstream))
  await upstream.become(() => {})
  await proxy.stop()
  await upstream.close()
  return seen
}

/** The table of docs/background/peers.md. */
export function tableOf(columns: readonly { readonly name: string; readonly seen: readonly string[] }[]): string {
  const lines = [
    `| situation | ${columns.map(({ name }) => name).join(' | ')} |`,
    `| --- |${' --- |'.repeat(columns.length)}`,
    ...BEHAVIOURS.map(
      ({ name, situation }, i) => `| **${name}**: ${situation} | ${columns.map(({ seen }) => seen[i]).join(' | ')} |`,
    ),
  ]
  return `${lines.join('\n')}\n`
}

if (import.meta.main) {
  const columns = await Promise.all(PROXIES.map(async (kind) => ({ name: kind.name, seen: await watchAll(kind) })))
  process.stdout.write(tableOf(columns))
}
