//! Anatomical structures: what they are, by code, and how they are colored.

/// A coded concept: coding scheme, value and meaning (PS3.3 8.8, Code Sequence Macro).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Code {
    /// Coding scheme designator, for example `SCT`.
    pub scheme: String,
    /// Code value, for example `10200004`.
    pub value: String,
    /// Code meaning, for example `Liver`.
    pub meaning: String,
}

/// A display color in sRGB, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rgb(pub [u8; 3]);

impl Rgb {
    /// Linear-light components from 0 to 1 (IEC 61966-2-1), as glTF wants them.
    pub fn to_linear(self) -> [f32; 3] {
        self.0.map(|byte| {
            let c = f32::from(byte) / 255.0;
            if c <= 0.040_45 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        })
    }

    /// CIELab under D50 in the integers of Recommended Display CIELab Value (PS3.3 C.10.7.1.1):
    /// L* 0..100 and a*, b* -128..127 each spread over 0..65535.
    pub fn to_dicom_cielab(self) -> [u16; 3] {
        let [r, g, b] = self.to_linear().map(f64::from);
        // sRGB to XYZ adapted from D65 to D50 by Bradford's method (ICC profile of sRGB).
        let x = 0.436_075 * r + 0.385_065 * g + 0.143_080 * b;
        let y = 0.222_504 * r + 0.716_879 * g + 0.060_617 * b;
        let z = 0.013_932 * r + 0.097_105 * g + 0.714_173 * b;
        let f = |t: f64| {
            if t > 216.0 / 24389.0 {
                t.cbrt()
            } else {
                (24389.0 / 27.0 * t + 16.0) / 116.0
            }
        };
        let [fx, fy, fz] = [f(x / 0.964_22), f(y), f(z / 0.825_21)];
        let lab = [116.0 * fy - 16.0, 500.0 * (fx - fy), 200.0 * (fy - fz)];
        [
            lab[0] / 100.0,
            (lab[1] + 128.0) / 255.0,
            (lab[2] + 128.0) / 255.0,
        ]
        .map(|c| (c.clamp(0.0, 1.0) * 65535.0).round() as u16)
    }

    /// The color that [`Rgb::to_dicom_cielab`] made into these integers, or the nearest that a
    /// screen can show.
    pub fn from_dicom_cielab([l, a, b]: [u16; 3]) -> Self {
        let [l, a, b] = [
            f64::from(l) / 655.35,
            f64::from(a) / 257.0 - 128.0,
            f64::from(b) / 257.0 - 128.0,
        ];
        let fy = (l + 16.0) / 116.0;
        let t = |f: f64| {
            if f > 6.0 / 29.0 {
                f * f * f
            } else {
                (116.0 * f - 16.0) * 27.0 / 24389.0
            }
        };
        let x = 0.964_22 * t(fy + a / 500.0);
        let y = t(fy);
        let z = 0.825_21 * t(fy - b / 200.0);
        // The inverse of the matrix above.
        let linear = [
            3.133_856_1 * x - 1.616_866_7 * y - 0.490_614_6 * z,
            -0.978_768_4 * x + 1.916_141_5 * y + 0.033_454_0 * z,
            0.071_945_3 * x - 0.228_991_4 * y + 1.405_242_7 * z,
        ];
        Self(linear.map(|c| {
            let c = c.clamp(0.0, 1.0);
            let encoded = if c <= 0.003_130_8 {
                12.92 * c
            } else {
                1.055 * c.powf(1.0 / 2.4) - 0.055
            };
            (encoded * 255.0).round() as u8
        }))
    }

    /// The color as in CSS, for example `#dd5522`.
    pub fn to_css(self) -> String {
        let [r, g, b] = self.0;
        format!("#{r:02x}{g:02x}{b:02x}")
    }
}

/// An anatomical concept with its codes and color.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// The name in Prosect, also the name of files: `liver`, `kidney_left`.
    pub name: String,
    /// Segmented Property Category (PS3.16 CID 7150).
    pub category: Code,
    /// Segmented Property Type (PS3.16 CID 7151 family).
    pub property_type: Code,
    /// Laterality or another modifier of the type (PS3.16 CID 244).
    pub type_modifier: Option<Code>,
    /// Anatomic region, where the type alone does not say where it lies.
    pub region: Option<Code>,
    /// Modifier of the region.
    pub region_modifier: Option<Code>,
    /// How it is shown.
    pub color: Rgb,
}

#[cfg(test)]
mod tests {
    use super::Rgb;

    #[test]
    fn white_black_and_red_have_their_known_cielab() {
        assert_eq!(Rgb([0, 0, 0]).to_dicom_cielab(), [0, 32896, 32896]);
        let white = Rgb([255, 255, 255]).to_dicom_cielab();
        // 40 of 65535: the four published digits of the matrix.
        assert!(
            white[0] > 65490 && white[1].abs_diff(32896) < 40 && white[2].abs_diff(32896) < 40,
            "{white:?}"
        );
        // sRGB red under D50 is L* 54.29, a* 80.81, b* 69.89 (Bruce Lindbloom's calculator).
        let red = Rgb([255, 0, 0]).to_dicom_cielab();
        let lab = [
            f64::from(red[0]) / 655.35,
            f64::from(red[1]) / 257.0 - 128.0,
            f64::from(red[2]) / 257.0 - 128.0,
        ];
        for (got, want) in lab.iter().zip([54.29, 80.81, 69.89]) {
            assert!((got - want).abs() < 0.1, "{lab:?}");
        }
    }

    #[test]
    fn colors_come_back_from_cielab() {
        for step in 0..4096_u32 {
            let rgb = Rgb([step * 17, step * 101 + 3, step * 211 + 7].map(|c| (c % 256) as u8));
            assert_eq!(Rgb::from_dicom_cielab(rgb.to_dicom_cielab()), rgb);
        }
    }

    #[test]
    fn middle_gray_is_darker_in_linear_light() {
        let [r, ..] = Rgb([188, 0, 0]).to_linear();
        assert!((r - 0.503).abs() < 0.002, "{r}");
    }
}
