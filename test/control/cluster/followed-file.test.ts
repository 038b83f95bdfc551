/** A table file that is followed: how often a large one is compared with the table that is live. */
import { rename, writeFile } from 'node:fs/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { FollowedFile } from '../../../src/control/cluster/followed-file.ts'
import { followApart } from '../../../src/control/table/apart.ts'
import { patchRoute } from '../../../src/control/table/edits.ts'
import { logInto, QUICK, rig, TABLE } from '../rig.ts'

vi.mock('../../../src/control/table/apart.ts', async (original) => {
  const real = await original<typeof import('../../../src/control/table/apart.ts')>()
  return { ...real, followApart: vi.fn(real.followApart) }
})

test('a file is not compared again where only percents move, and is with any other change', async () => {
  const { path, live, history, operations, close } = await rig()
  const file = `${path}.followed`
  await writeFile(file, TABLE)
  const commons = { path: file, cluster: 'shop', takesPercents: false, live, history, operations, log: logInto([]) }
  const followed = new FollowedFile({ ...commons, times: QUICK, isInStep: () => true })
  onTestFinished(async () => {
    await followed.close()
    await close()
  })
  followed.start()
  await expect.poll(() => vi.mocked(followApart).mock.calls.length).toBe(1)
  await vi.mocked(followApart).mock.results[0]?.value
  const [route] = live.current.table.routes
  const change = async (patch: Parameters<typeof patchRoute>[1]): Promise<void> => {
    const terms = { ifMatch: null, author: 'ada', reason: null }
    expect((await operations.commit(patchRoute(route?.id ?? '', patch), terms)).kind).toBe('done')
  }
  for (let percent = 30; percent < 40; percent++) await change({ percent })
  expect(vi.mocked(followApart)).toHaveBeenCalledTimes(1)
  expect(followed.drift).toBeNull()

  await change({ sticky: 'ip' })
  await expect.poll(() => followed.drift?.why).toBe('differs')
  // The drift does not end, and is told, however percents move.
  for (let percent = 30; percent < 40; percent++) await change({ percent })
  expect(followed.drift?.why).toBe('differs')

  await change({ sticky: route?.document.sticky ?? null })
  await expect.poll(() => followed.drift).toBeNull()
  await writeFile(`${file}.new`, `${TABLE}# more\n`)
  await rename(`${file}.new`, file)
  await expect.poll(() => live.current.text.endsWith('# more\n')).toBe(true)
  expect(live.current.table.routes[0]?.percent).toBe(39)
})
