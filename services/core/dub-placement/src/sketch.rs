//! Where everything stands, in words, for whoever looks into a decision. No sound and no words of anybody.
use crate::Placement;
use crate::atoms::{Atom, steps};
use crate::lane::{Lane, seconds};
use media_types::MediaTime;
use std::fmt::{self, Display, Formatter};

/// What airs soon is shown, and what aired this long ago.
const SHOWN: MediaTime = MediaTime::from_millis(14_000);

/// A picture of a placement, made by [`Placement::sketch`].
#[derive(Clone, Copy, Debug)]
pub struct Sketch<'p>(pub(crate) &'p Placement);

impl Display for Sketch<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let it = self.0;
        let s = seconds;
        writeln!(
            f,
            "aired {:.2} heard {:.2} sound ends {:.2} down until {:.2} speaking {:?}",
            s(it.aired),
            s(it.live),
            s(it.sound_end),
            s(it.down_until),
            it.speaking
        )?;
        writeln!(f, "  {:.2?}", it.estimates.beliefs())?;
        let shown = it.phrases.list().iter().enumerate();
        for (index, phrase) in shown.filter(|(_, phrase)| it.aired < phrase.onset + SHOWN) {
            let end = phrase.end.map_or(f64::NAN, s);
            let fate = phrase.fate.map(|fate| fate.verdict);
            let (id, onset) = (phrase.id, s(phrase.onset));
            writeln!(f, "  phrase {index} id {id} {onset:.2}..{end:.2} {fate:?}")?;
        }
        it.lanes.iter().try_for_each(|lane| sketch(lane, f))
    }
}

fn sketch(lane: &Lane, f: &mut Formatter<'_>) -> fmt::Result {
    let s = seconds;
    write!(f, "  line {} from {:.2}", lane.connection, s(lane.from))?;
    if lane.owed < lane.from {
        write!(f, " owed from {:.2}", s(lane.owed))?;
    }
    match &lane.head {
        Some(dub) => writeln!(
            f,
            " says id {:?}+{} {:.2}..{:.2} length {:.2} done {} sealed {}",
            dub.phrase,
            dub.phrases,
            s(dub.start),
            s(dub.end),
            s(dub.length),
            dub.done,
            dub.sealed
        )?,
        None => writeln!(f)?,
    }
    lane.atoms.list.iter().try_for_each(|atom| sketch_atom(atom, f))?;
    for run in &lane.plan {
        writeln!(
            f,
            "    run {}+{} answers {}+{}{}{}",
            run.atom,
            run.atoms,
            run.phrase,
            run.phrases,
            if run.goes_on { ", goes on" } else { "" },
            if run.arriving { ", arriving" } else { "" }
        )?;
    }
    Ok(())
}

fn sketch_atom(atom: &Atom, f: &mut Formatter<'_>) -> fmt::Result {
    let s = seconds;
    writeln!(
        f,
        "    atom c{} {:.2} length {:.2} gap {:.2} source {:.2}..{:.2} to {:.2}..{:.2} turn {:?} leapt {:.2} placed {:.2}{}",
        atom.connection,
        s(atom.start),
        s(atom.length()),
        s(atom.gap),
        s(atom.earliest.0),
        s(atom.earliest.1),
        s(atom.latest.0),
        s(atom.latest.1),
        atom.turn,
        s(atom.leapt),
        s(steps(atom.placed)),
        if atom.open { " open" } else { "" }
    )
}
