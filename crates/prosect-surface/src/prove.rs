//! The proof that a surface is what a printer and a surgeon take it for: closed, 2-manifold,
//! facing outward, without flat triangles and without crossing itself.
//!
//! Corners at equal places count as one, as they do for whoever reads an STL. Nothing here knows
//! how the surface was made.

pub(crate) mod exact;
pub(crate) mod meet;
mod fan;
mod crossing;
mod nesting;

use std::fmt;

use prosect_volume::{Lps, Point};
use rayon::prelude::*;

use crate::prove::exact::{Site, normal, site};
use crate::prove::meet::Facet;
use crate::surface::Surface;

pub(crate) use fan::Fans;
pub(crate) use nesting::number_shells;

/// What was proved of a surface: it is closed, 2-manifold at each edge and corner, each shell faces
/// outward (cavities face their inside), no triangle is flat, and no two triangles meet except
/// where they share corners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// Corners, equal places counted once.
    pub n_vertices: usize,
    /// Triangles.
    pub n_triangles: usize,
    /// Connected pieces of surface, cavities among them.
    pub n_shells: usize,
    /// Shells that bound a cavity.
    pub n_cavities: usize,
    /// Enclosed volume less the cavities, in millilitres.
    pub volume_ml: f64,
    /// Area in square millimetres.
    pub area_mm2: f64,
}

/// What is wrong with a surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefectKind {
    /// There are no triangles.
    Empty,
    /// A triangle names a corner that is not there.
    NoSuchCorner,
    /// A corner is not finite, or farther than 131 m away.
    Unplaceable,
    /// A triangle has no area.
    FlatTriangle,
    /// An edge has a triangle on one side only.
    OpenEdge,
    /// An edge has more than two triangles, or two that turn against each other.
    BadEdge,
    /// Two sheets of surface touch in one corner.
    BadCorner,
    /// Triangles cross or touch where they share no corner.
    Crossing,
    /// A shell faces the wrong way.
    WrongWayRound,
    /// It could not be decided which shell lies inside which.
    Undecided,
}

/// What is wrong with a surface, and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defect {
    /// What is wrong.
    pub kind: DefectKind,
    /// Where, if it is anywhere.
    pub at: Option<Point<Lps>>,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DefectKind::Empty => "it has no triangles",
            DefectKind::NoSuchCorner => "a triangle names a corner that does not exist",
            DefectKind::Unplaceable => "a corner is not finite or too far away",
            DefectKind::FlatTriangle => "a triangle has no area",
            DefectKind::OpenEdge => "it is open along an edge",
            DefectKind::BadEdge => {
                "more than two triangles share an edge, or two turn against each other"
            }
            DefectKind::BadCorner => "two sheets touch in a corner",
            DefectKind::Crossing => "it crosses or touches itself",
            DefectKind::WrongWayRound => "a shell faces the wrong way",
            DefectKind::Undecided => "it could not be decided which shell lies inside which",
        })?;
        if let Some([x, y, z]) = self.at.map(|p| p.xyz) {
            write!(f, " near LPS ({x:.2}, {y:.2}, {z:.2}) mm")?;
        }
        Ok(())
    }
}

impl std::error::Error for Defect {}

impl Defect {
    fn at_site(kind: DefectKind, place: Site) -> Self {
        Self {
            kind,
            at: Some(Point::new(place.map(|c| c as f64 / exact::STEPS_PER_MM))),
        }
    }
}

/// Proves a surface, or names its first defect.
///
/// # Errors
/// The [`Defect`]; the same one for any number of threads.
pub fn prove(surface: &Surface) -> Result<Proof, Defect> {
    let welded = Welded::new(surface)?;
    welded.require_areas()?;
    fan::require_manifold(&welded)?;
    crossing::require_apart(&welded)?;
    let shells = nesting::require_outward(&welded)?;
    Ok(Proof {
        n_vertices: welded.n_corners,
        n_triangles: surface.triangles.len(),
        n_shells: shells.n_shells,
        n_cavities: shells.n_cavities,
        volume_ml: surface.volume_mm3() / 1000.0,
        area_mm2: surface.area_mm2(),
    })
}

/// A surface on the lattice with equal corners joined.
pub(crate) struct Welded {
    /// Place of each joined corner.
    sites: Vec<Site>,
    /// Joined corners of each triangle.
    triangles: Vec<[u32; 3]>,
    /// How many joined corners are used.
    n_corners: usize,
}

impl Welded {
    fn new(surface: &Surface) -> Result<Self, Defect> {
        if surface.triangles.is_empty() {
            return Err(Defect {
                kind: DefectKind::Empty,
                at: None,
            });
        }
        let mut sites = Vec::with_capacity(surface.vertices.len());
        for vertex in &surface.vertices {
            sites.push(site(*vertex).ok_or(Defect {
                kind: DefectKind::Unplaceable,
                at: None,
            })?);
        }
        let mut order: Vec<u32> = (0..sites.len() as u32).collect();
        order.par_sort_unstable_by_key(|v| (sites[*v as usize], *v));
        let mut joined = vec![0_u32; sites.len()];
        let mut n_corners = 0;
        let mut first = None;
        for v in order {
            let place = sites[v as usize];
            let keeper = match first {
                Some((same, keeper)) if same == place => keeper,
                _ => {
                    n_corners += 1;
                    v
                }
            };
            first = Some((place, keeper));
            joined[v as usize] = keeper;
        }
        let mut triangles = Vec::with_capacity(surface.triangles.len());
        for triangle in &surface.triangles {
            if triangle.iter().any(|v| *v as usize >= sites.len()) {
                return Err(Defect {
                    kind: DefectKind::NoSuchCorner,
                    at: None,
                });
            }
            triangles.push(triangle.map(|v| joined[v as usize]));
        }
        Ok(Self {
            sites,
            triangles,
            n_corners,
        })
    }

    fn facet(&self, triangle: usize) -> Facet {
        let corners = self.triangles[triangle];
        Facet {
            corners,
            sites: corners.map(|v| self.sites[v as usize]),
        }
    }

    fn require_areas(&self) -> Result<(), Defect> {
        let flat = (0..self.triangles.len()).into_par_iter().find_first(|t| {
            let [a, b, c] = self.facet(*t).sites;
            normal(a, b, c) == [0; 3]
        });
        flat.map_or(Ok(()), |t| {
            Err(Defect::at_site(
                DefectKind::FlatTriangle,
                self.facet(t).sites[0],
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{DefectKind, prove};
    use crate::surface::Surface;

    /// A box from corner to corner.
    fn cuboid(low: [f32; 3], high: [f32; 3]) -> Surface {
        let vertices = (0..8)
            .map(|c| std::array::from_fn(|d| if c >> d & 1 == 1 { high[d] } else { low[d] }))
            .collect();
        let quads: [[u32; 4]; 6] = [
            [0, 2, 3, 1],
            [4, 5, 7, 6],
            [0, 1, 5, 4],
            [2, 6, 7, 3],
            [0, 4, 6, 2],
            [1, 3, 7, 5],
        ];
        let triangles = quads
            .iter()
            .flat_map(|[a, b, c, d]| [[*a, *b, *c], [*a, *c, *d]])
            .collect();
        Surface {
            vertices,
            triangles,
        }
    }

    fn flipped(mut surface: Surface) -> Surface {
        surface.triangles.iter_mut().for_each(|t| t.swap(1, 2));
        surface
    }

    fn joined(parts: impl IntoIterator<Item = Surface>) -> Surface {
        let mut whole = Surface::default();
        for part in parts {
            let base = whole.vertices.len() as u32;
            whole.vertices.extend(part.vertices);
            whole
                .triangles
                .extend(part.triangles.iter().map(|t| t.map(|v| v + base)));
        }
        whole
    }

    fn big() -> Surface {
        cuboid([0.0; 3], [10.0; 3])
    }

    fn small() -> Surface {
        cuboid([4.0, 4.0, 4.0], [6.0, 6.5, 6.25])
    }

    #[track_caller]
    fn check(surface: &Surface, expected: Result<(usize, usize), DefectKind>) {
        assert_eq!(
            prove(surface)
                .map(|p| (p.n_shells, p.n_cavities))
                .map_err(|d| d.kind),
            expected
        );
    }

    #[test]
    fn solids_with_cavities_and_islands_are_proved() {
        check(&big(), Ok((1, 0)));
        check(&joined([big(), flipped(small())]), Ok((2, 1)));
        check(
            &joined([big(), flipped(small()), cuboid([5.0; 3], [5.5; 3])]),
            Ok((3, 1)),
        );
        check(&joined([big(), cuboid([20.0; 3], [30.0; 3])]), Ok((2, 0)));
        let proof = prove(&joined([big(), flipped(small())])).unwrap();
        assert!((proof.volume_ml - (1.0 - 0.002 * 2.5 * 2.25)).abs() < 1e-9);
    }

    #[test]
    fn shells_that_face_the_wrong_way_are_refused() {
        check(&flipped(big()), Err(DefectKind::WrongWayRound));
        check(&joined([big(), small()]), Err(DefectKind::WrongWayRound));
        check(
            &joined([big(), flipped(cuboid([20.0; 3], [30.0; 3]))]),
            Err(DefectKind::WrongWayRound),
        );
    }

    #[test]
    fn what_is_broken_is_named() {
        check(&Surface::default(), Err(DefectKind::Empty));
        let mut open = big();
        open.triangles.pop();
        check(&open, Err(DefectKind::OpenEdge));
        let mut turned = big();
        turned.triangles[3].swap(0, 1);
        check(&turned, Err(DefectKind::BadEdge));
        let mut twice = big();
        twice.triangles.push(twice.triangles[0]);
        check(&twice, Err(DefectKind::BadEdge));
        let mut flat = big();
        flat.vertices[0] = flat.vertices[1];
        check(&flat, Err(DefectKind::FlatTriangle));
        let mut nan = big();
        nan.vertices[0][1] = f32::NAN;
        check(&nan, Err(DefectKind::Unplaceable));
        let mut wild = big();
        wild.triangles[0][0] = 8;
        check(&wild, Err(DefectKind::NoSuchCorner));
    }

    #[test]
    fn contacts_that_a_reader_would_weld_are_refused() {
        check(
            &joined([big(), cuboid([10.0; 3], [12.0; 3])]),
            Err(DefectKind::BadCorner),
        );
        check(
            &joined([big(), cuboid([10.0, 10.0, 0.0], [12.0, 12.0, 10.0])]),
            Err(DefectKind::BadEdge),
        );
        check(
            &joined([big(), cuboid([9.0, 9.0, 9.0], [12.0; 3])]),
            Err(DefectKind::Crossing),
        );
        check(
            &joined([big(), cuboid([2.0, 2.0, 10.0], [3.0, 3.0, 12.0])]),
            Err(DefectKind::Crossing),
        );
    }
}
